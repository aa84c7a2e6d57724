"""The documentation points at what exists, and names every method."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from editc.core import registry

ROOT = Path(__file__).parents[1]
PAGES = tuple(sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "formats").glob("*.md"))))


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and heading of every link in a page that is not to the web; examples are not looked at."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if ":" not in path:
            yield (page.parent / path if path else page), heading


def headings(page: Path) -> set[str]:
    """The headings as a link has them: small letters, no punctuation, a hyphen for a space."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = [f"{to.name}#{heading}" for to, heading in links(page) if not to.exists()]
    lost += [f"{to.name}#{heading}" for to, heading in links(page) if heading and heading not in headings(to)]
    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"\bdocs/[\w-]+\.md", page.read_text(encoding="utf-8")))
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]


def test_every_method_for_language_models_is_listed() -> None:
    text = (ROOT / "docs" / "methods-language.md").read_text(encoding="utf-8")
    assert not [name for name in registry.names("language") if f"\n| `{name}` | " not in text]


def test_every_option_of_a_language_model_s_method_is_described() -> None:
    text = (ROOT / "docs" / "methods-language.md").read_text(encoding="utf-8").partition("## Options")[2]
    asked = {option.name for name in registry.names("language") for option in registry.options(name)}
    assert not [name for name in sorted(asked) if f"`{name}`" not in text]


def test_every_page_is_reached_from_the_readme() -> None:
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop().resolve()
        if page not in seen and page.suffix == ".md" and page.exists():
            seen.add(page)
            named = re.findall(r"\bdocs/[\w-]+\.md", page.read_text(encoding="utf-8"))
            left += [*(to for to, _ in links(page)), *(ROOT / name for name in named)]
    assert not [page.name for page in PAGES if page.resolve() not in seen]


def test_nothing_cites_a_file_that_no_reader_has() -> None:
    """Notes that were at hand while editc was made are not in the repository; what they said is said here."""
    absent = re.compile(r"DESIGN(\.md)? ?\d|\bfacts/\w|golden/formats|HOUSE\.md|\.\./shared|/work/")
    folders = ("editc", "formats", "passes", "manifests", "benchmarks", "docs")
    files = [path for folder in folders for end in ("py", "md") for path in (ROOT / folder).rglob(f"*.{end}")]
    assert [str(path) for path in (*files, ROOT / "README.md") if absent.search(path.read_text(encoding="utf-8"))] == []
