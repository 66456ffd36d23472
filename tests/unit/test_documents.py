"""The documents say only what is so: each test that they name exists, each link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if path.name != "CHANGELOG.md"
)
_TEST = re.compile(r"`((?:[a-z_]+/)+test_\w+\.py)::(test_\w+)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    missing = [link for link in _LINK.findall(document.read_text()) if not (document.parent / link).exists()]
    assert missing == []


def test_each_test_that_supported_names_exists() -> None:
    named = _TEST.findall((ROOT / "docs" / "supported.md").read_text())
    assert len(named) > 100
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / "tests" / path).exists() or f"def {name}(" not in (ROOT / "tests" / path).read_text()
    ]
    assert missing == []


def test_nothing_is_called_done_without_a_test() -> None:
    rows = (ROOT / "docs" / "supported.md").read_text().splitlines()
    assert [row for row in rows if "| done" in row and "no test yet" in row] == []


def test_no_subject_has_two_rows() -> None:
    """Within a table; the older one of two is the one that is no longer true."""
    tables = (ROOT / "docs" / "supported.md").read_text().split("\n\n")
    for table in tables:
        rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("| ")]
        assert [row for row in set(rows) if rows.count(row) > 1] == []


def test_each_news_fragment_is_of_a_kind_that_is_rendered() -> None:
    """Fragments of another kind are left out of the release notes without a word."""
    kinds = {"feature", "bugfix", "doc", "removal", "misc"}
    fragments = list((ROOT / "changelog.d").glob("*.md"))
    assert fragments
    assert [path.name for path in fragments if path.name.split(".")[-2] not in kinds] == []
