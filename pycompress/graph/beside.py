"""Writing a file whole or not at all."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def refuse_source(path: Path, source: Path) -> None:
    """Raise ValueError when a file is to be written over the model that it is made of."""
    if path.exists() and source.exists() and path.samefile(source):
        msg = f"'{path}' is the model that is being read; write to another file"
        raise ValueError(msg)


@contextmanager
def beside(path: Path) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its place when all went well."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with made.open("xb") as file:
            yield file
        made.replace(path)
    except BaseException as error:
        if made.exists():
            made.unlink()
        if isinstance(error, OSError) and error.errno is not None:
            other = error.filename not in {None, str(made)}
            raise OSError(
                error.errno, error.strerror, error.filename if other else str(path)
            ) from error
        raise
