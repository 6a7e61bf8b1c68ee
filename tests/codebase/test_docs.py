"""The documents: a path that one of them names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = "csrc|pycompress|tests|bench|tools|docs"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_are_there(document):
    named = re.findall(rf"(?<![\w/.])(?:{FOLDERS})/[\w./-]*\w", document.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []
