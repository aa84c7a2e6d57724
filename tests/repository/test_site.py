"""The site of the documentation: its pages, its navigation and its links; `make docs` builds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

from docs import site

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def entries(nav: Any) -> Iterator[str]:
    """The pages that the navigation names, from top to bottom."""
    if isinstance(nav, str):
        yield nav
        return
    for one in nav.values() if isinstance(nav, dict) else nav:
        yield from entries(one)


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    site.gather(folder)
    return folder


def test_the_navigation_has_every_page_once(gathered: Path) -> None:
    """A new page needs a line under `nav:` in mkdocs.yml."""
    pages = sorted(path.relative_to(gathered).as_posix() for path in gathered.rglob("*.md"))
    assert sorted(entries(CONFIG["nav"])) == pages


def test_links_lead_from_page_to_page_of_the_site(gathered: Path) -> None:
    for page in gathered.rglob("*.md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
        lost = [one for one in targets if one and ":" not in one and not (page.parent / one).exists()]
        assert not lost, page.name


def test_a_link_to_a_source_file_is_its_words() -> None:
    known = {"docs/how-to/add-a-method.md": "how-to/add-a-method.md", "formats/FORMAT.md": "reference/delta-format.md"}
    text = "[ir](../../editc/ir.py), [`x`](../../formats/FORMAT.md#bits), [web](https://e.org)\n```\n[a](b.py)\n```"
    wanted = "ir, [`x`](../reference/delta-format.md#bits), [web](https://e.org)\n```\n[a](b.py)\n```"
    assert site.relinked(text, "docs/how-to/add-a-method.md", known) == wanted


def test_the_site_is_built_where_make_puts_the_pages_and_asks_nobody() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"docs/site.py {CONFIG['docs_dir']}\n" in makefile and f"open {CONFIG['site_dir']}/index.html" in makefile
    assert "zensical build --clean --strict" in makefile
    assert "plugins" not in CONFIG and CONFIG["theme"]["font"] is False
