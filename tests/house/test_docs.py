"""Pages that are generated are current, and links lead somewhere."""

import re
from pathlib import Path

import pytest

from memshadow.cli._help import reference

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def dead_links(page: Path) -> list[str]:
    """Return the relative links of a page that name no file."""
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    return [link for link in links if not (page.parent / link).exists()]


def test_the_configuration_page_is_current() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == reference(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_planted_dead_link_is_caught(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("[a](gone.md) [b](page.md#part) [c](https://example.org)")
    assert dead_links(tmp_path / "page.md") == ["gone.md"]


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()
