"""Keep some feeds back from calibration, to judge the result on data that it has not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pycompress.calibration.feeds import Feed

EVERY, FIRST, AT_MOST = 4, 1, 32


class Split:
    """Passes a stream of feeds on, except for every fourth (32 of them at most), which it keeps.

    A stream of a single feed serves both ends: `shared` tells.

    Attributes
    ----------
    held_back : list of dict
    passed : int
        Feeds that were passed on.
    shared : bool
        The one feed was used for calibration and for judging.
    """

    def __init__(self, stream: Iterable[Feed]) -> None:
        self._stream = stream
        self.held_back: list[Feed] = []
        self.passed = 0
        self.shared = False

    def __iter__(self) -> Iterator[Feed]:
        last: Feed | None = None
        for index, feed in enumerate(self._stream):
            if index % EVERY == FIRST and len(self.held_back) < AT_MOST:
                self.held_back.append(feed)
                continue
            self.passed += 1
            last = feed
            yield feed
        if not self.held_back and last is not None:
            self.held_back.append(last)
            self.shared = True
