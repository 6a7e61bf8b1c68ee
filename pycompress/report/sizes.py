"""How many bytes a model takes on disk."""

from __future__ import annotations

from pathlib import Path


def model_bytes(path: Path) -> int:
    """Return the size of a model file and of its external data beside it."""
    beside = sum(p.stat().st_size for p in _external(path))
    return path.stat().st_size + beside


def _external(path: Path) -> list[Path]:
    return [
        p
        for p in (path.with_name(path.name + suffix) for suffix in (".data", "_data"))
        if p.is_file()
    ]
