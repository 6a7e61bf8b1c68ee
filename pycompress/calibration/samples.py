"""The samples of an array in an .npz file, one after the other: it is never held whole."""

from __future__ import annotations

from typing import IO

import numpy as np
from numpy.lib import format as npy


class Samples:
    """An array stacked on axis 0, as it comes out of a file.

    Parameters
    ----------
    file : binary file
        At the beginning of an .npy file.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype

    Raises
    ------
    ValueError
        The file is no .npy file, or holds Python objects.

    Notes
    -----
    The format is described in NEP 1. An array in Fortran order has its samples spread all over the
    file: it alone is read at once.
    """

    def __init__(self, file: IO[bytes]) -> None:
        major, _ = npy.read_magic(file)
        read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
        self.shape, fortran, self.dtype = read(file)
        if self.dtype.hasobject:
            msg = "it holds Python objects, wanted numbers"
            raise ValueError(msg)
        self._file, self._at = file, 0
        self._whole: np.ndarray | None = None
        if fortran and len(self.shape) > 1:
            size = int(np.prod(self.shape)) * self.dtype.itemsize
            flat = np.frombuffer(self._read(size), self.dtype)
            self._whole = flat.reshape(self.shape, order="F")

    def __len__(self) -> int:
        return self.shape[0]

    def next(self) -> np.ndarray:
        """Return the next sample; raise EOFError when the file ends within it."""
        if self._whole is not None:
            self._at += 1
            return np.ascontiguousarray(self._whole[self._at - 1])
        size = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        return np.frombuffer(self._read(size), self.dtype).reshape(self.shape[1:])

    def _read(self, size: int) -> bytearray:
        data = bytearray()
        while len(data) < size:
            part = self._file.read(size - len(data))
            if not part:
                msg = f"found {len(data)} bytes, wanted {size}"
                raise EOFError(msg)
            data += part
        return data
