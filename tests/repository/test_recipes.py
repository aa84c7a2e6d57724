"""Every recipe in docs/how-to/add-*.md is run: its code is a file of the toy package, which other tests install, or is
executed here."""

from __future__ import annotations

import re
import tomllib

import pytest
import toy_package
from places import ROOT

from editc.codes import catalogue, exit_code, lookup, parse
from editc.core.diagnostics import EditcError

PAGES = ROOT / "docs" / "how-to"
FILES = {
    "add-a-method": "toy_method.py",
    "add-a-key-rule": "toy_key_rule.py",
    "add-a-family": "toy_family.py",
    "add-a-format": "toy_format.py",
    "add-an-attack": "toy_attack.py",
    "add-an-objective": "toy_objective.py",
    "add-an-objective-for-language": "toy_rows.py",
    "add-a-detector": "toy_detector.py",
}
"""Page -> the file of the toy package that it prints."""


def blocks(page: str, language: str) -> list[str]:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_recipe_is_run() -> None:
    assert {page.stem for page in PAGES.glob("add-*.md")} == {*FILES, "add-a-diagnostic"}


@pytest.mark.parametrize("page", FILES)
def test_the_code_of_a_recipe_is_a_file_that_is_installed_and_used(page: str) -> None:
    assert blocks(page, "python") == [(toy_package.SOURCE / FILES[page]).read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", FILES)
def test_the_entry_point_of_a_recipe_is_the_package_s(page: str) -> None:
    (block,) = blocks(page, "toml")
    told = tomllib.loads(block)["project"]["entry-points"]
    doors = tomllib.loads((toy_package.SOURCE / "pyproject.toml").read_text())["project"]["entry-points"]
    ((group, names),) = told.items()
    assert names.items() <= doors[group].items()


def test_the_line_of_a_recipe_is_in_the_registry() -> None:
    for page in FILES:
        text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
        (file,) = set(re.findall(r"\]\(\.\./\.\./(editc/registry/\w+\.py)\)", text))
        lines = re.findall(r'^    ("[\w-]+": "editc\.[\w.:]+",)$', text, re.MULTILINE)
        assert lines and all(line in (ROOT / file).read_text(encoding="utf-8") for line in lines), page


def test_the_diagnostic_of_the_recipe_is_raised_and_its_entry_is_sound() -> None:
    (code,), (entry,) = blocks("add-a-diagnostic", "python"), blocks("add-a-diagnostic", "markdown")
    made: dict[str, object] = {}
    exec(compile(code, "add-a-diagnostic.md", "exec"), made)
    require = made["require_divisible"]
    assert callable(require)
    require(32, 4, "model/config.json")
    with pytest.raises(EditcError) as caught:
        require(30, 4, "model/config.json")
    (found,) = caught.value.diagnostics
    (page,) = parse(entry, "locate")
    assert (found.code, page.exit) == (page.code, 3) and found.message in page.example and found.help in page.example
    assert lookup(found.code) is None and found.code not in catalogue(), "the number is free, as the recipe asks"
    assert exit_code(caught.value.diagnostics) == 70, "a code without an entry would be a fault of editc"
