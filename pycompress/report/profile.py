"""A profile as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape

from pycompress.report.text import table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pycompress.runtime.profile import Profile


def profile_view(profile: Profile, most: int = 30) -> RenderableType:
    """Return what to print for a profile: its `most` expensive nodes, and the rest in one row."""
    rows = table("node", "operator", "shape", "ms", "share", title="Time of each node")
    for time in profile.rows[:most]:
        engine = "" if time.engine == "native" else f" ({time.engine})"
        shape = "×".join(map(str, time.shape)) or "scalar"
        cells = time.name, time.op + engine, shape, f"{time.ms:.4f}", f"{time.share:.1%}"
        rows.add_row(*map(escape, cells))
    rest = profile.rows[most:]
    if rest:
        ms, share = sum(t.ms for t in rest), sum(t.share for t in rest)
        rows.add_row(f"{len(rest)} more", "", "", f"{ms:.4f}", f"{share:.1%}")
    whole = sum(t.ms * t.calls for t in profile) / max((t.calls for t in profile), default=1)
    return Group(rows, f"{len(profile)} nodes, {whole:.3f} ms a run")
