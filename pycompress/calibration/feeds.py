"""Calibration data in whatever form the caller has it, turned into a stream of checked feeds.

====================  ======================================================================
a dict                one feed: input name -> array
a list, an iterator   one dict per feed; an iterator is read once, nothing is kept
a callable            called without arguments; returns one of the above
an .npz file          arrays by input name, stacked on axis 0 = samples; each sample is one feed
                      and keeps a leading axis of 1 where the model's input has as many axes as
                      the array
a folder              each .npz file in it is one feed, in the order of the names
====================  ======================================================================
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pycompress.calibration.samples import Samples

if TYPE_CHECKING:
    from pycompress.graph.ir import Value

Feed: TypeAlias = Mapping[str, np.ndarray]
FeedSource: TypeAlias = Feed | Iterable[Feed] | Callable[[], Iterable[Feed]] | str | Path


class FeedError(ValueError):
    """Calibration or test data that does not fit the model."""


def feeds(source: FeedSource, inputs: Sequence[Value]) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over the feeds of `source`, each checked against the model's inputs.

    Parameters
    ----------
    source : dict, iterable of dict, callable, or path of an .npz file or of a folder of them
        See the table at the top of this module.
    inputs : sequence of Value
        The graph's inputs.

    Raises
    ------
    FeedError
        A key is missing or unknown, an array's dtype or number of axes does not fit, the file is
        not an .npz, the source is empty. The message names the key, what was found and what was
        wanted.
    """
    count = 0
    for raw, where in _raw(source, inputs):
        yield check_feed(raw, inputs, where)
        count += 1
    if count == 0:
        msg = f"calibration data: no feed found in {_describe(source)}; wanted at least one"
        raise FeedError(msg)


def check_feed(feed: Feed, inputs: Sequence[Value], where: str) -> dict[str, np.ndarray]:
    """Return the feed with its values as arrays, or raise FeedError naming what does not fit."""
    if not isinstance(feed, Mapping):
        msg = f"{where}: found a {type(feed).__name__}, wanted a dict of arrays by input name"
        raise FeedError(msg)
    wanted = [v.name for v in inputs]
    missing = [name for name in wanted if name not in feed]
    unknown = [str(name) for name in feed if name not in wanted]
    if missing or unknown:
        parts = [f"input '{name}' is missing" for name in missing] + [
            f"'{name}' is not an input" for name in unknown
        ]
        msg = (
            f"{where}: {', '.join(parts)}; found {sorted(map(str, feed))}, wanted {sorted(wanted)}"
        )
        raise FeedError(msg)
    return {
        value.name: _check_array(np.asarray(feed[value.name]), value, where) for value in inputs
    }


def _check_array(array: np.ndarray, value: Value, where: str) -> np.ndarray:
    if value.dtype is not None and array.dtype != value.dtype:
        msg = f"{where}: input '{value.name}' has dtype {array.dtype}, wanted {value.dtype}"
        raise FeedError(msg)
    if value.shape is not None:
        known = [
            (found, dim)
            for found, dim in zip(array.shape, value.shape, strict=False)
            if isinstance(dim, int)
        ]
        if array.ndim != len(value.shape) or any(found != dim for found, dim in known):
            wanted = [dim if dim is not None else "?" for dim in value.shape]
            msg = f"{where}: input '{value.name}' has shape {list(array.shape)}, wanted {wanted}"
            raise FeedError(msg)
    return array


def _raw(source: FeedSource, inputs: Sequence[Value]) -> Iterator[tuple[Feed, str]]:
    """Iterate over unchecked feeds with the words that say where each is from."""
    if isinstance(source, (str, Path)):
        yield from _from_path(Path(source), inputs)
    elif isinstance(source, Mapping):
        yield source, "calibration data"
    elif callable(source):
        yield from _raw(source(), inputs)
    elif isinstance(source, Iterable):
        yield from ((feed, f"calibration feed {i}") for i, feed in enumerate(source))
    else:
        msg = (
            f"calibration data: found a {type(source).__name__}, wanted a dict, an iterable of"
            " dicts, a callable or a path"
        )
        raise FeedError(msg)


def _from_path(path: Path, inputs: Sequence[Value]) -> Iterator[tuple[Feed, str]]:
    if path.is_dir():
        for file in sorted(path.glob("*.npz")):
            yield _load(file), f"calibration file '{file}'"
    elif path.exists():
        yield from _samples(path, inputs, f"calibration file '{path}'")
    else:
        msg = f"calibration data: no file or folder '{path}'"
        raise FeedError(msg)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.lib.npyio.NpzFile):
            with archive:
                return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, zipfile.BadZipFile, ValueError) as error:
        pickled = "pickle" in str(error)  # what NumPy says of any file that it does not know
        said = "it holds no arrays" if pickled else error
        msg = f"calibration file '{path}' can't be read as an .npz: {said}"
        raise FeedError(msg) from error
    msg = (
        f"calibration file '{path}': found a single array, wanted an .npz with one array per input"
    )
    raise FeedError(msg)


def _samples(path: Path, inputs: Sequence[Value], where: str) -> Iterator[tuple[Feed, str]]:
    """Cut arrays stacked on axis 0 into one feed per sample, read one after the other."""
    with ExitStack() as stack:
        stacks = _opened(path, stack)
        lengths = {
            name: len(samples) if samples.shape else None for name, samples in stacks.items()
        }
        if len(set(lengths.values())) > 1 or None in lengths.values():
            msg = (
                f"{where}: arrays are stacked on axis 0 = samples and must have the same length "
                f"there; found {lengths}"
            )
            raise FeedError(msg)
        ranks: dict[str, Any] = {v.name: None if v.shape is None else len(v.shape) for v in inputs}
        for i in range(next(iter(lengths.values()), None) or 0):
            try:
                feed = {
                    name: samples.next()
                    if ranks.get(name) == len(samples.shape) - 1
                    else samples.next()[None]
                    for name, samples in stacks.items()
                }
            except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError) as error:
                msg = f"{where} can't be read as an .npz: sample {i}: {error}"
                raise FeedError(msg) from error
            yield feed, f"{where}, sample {i}"


def _opened(path: Path, stack: ExitStack) -> dict[str, Samples]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        return {
            name.removesuffix(".npy"): Samples(stack.enter_context(archive.open(name)))
            for name in archive.namelist()
        }
    except zipfile.BadZipFile as error:
        _load(path)  # says what it is instead
        msg = f"calibration file '{path}' can't be read as an .npz: {error}"
        raise FeedError(msg) from error
    except (OSError, EOFError, ValueError) as error:
        msg = f"calibration file '{path}' can't be read as an .npz: {error}"
        raise FeedError(msg) from error


def _describe(source: object) -> str:
    return (
        f"'{source}'" if isinstance(source, (str, Path)) else f"the {type(source).__name__} given"
    )
