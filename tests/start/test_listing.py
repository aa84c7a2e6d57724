"""`editc list`: every name that there is, each with one sentence, and none of them written a second time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_package
from command import editc
from imported import imported
from places import EXAMPLES

from editc.cli import start
from editc.registry import table
from editc.registry.attacks import ATTACKS
from editc.registry.detectors import DETECTORS
from editc.registry.families import FAMILIES
from editc.registry.formats import FORMATS
from editc.registry.methods import METHODS
from editc.start.listing import KINDS, Name, list_names
from editc.start.sentences import first_sentence, header_text

TABLES = {"methods": METHODS, "attacks": ATTACKS, "families": FAMILIES, "formats": FORMATS, "detectors": DETECTORS}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """editc-toy, as if it were installed."""
    table._entry_points.cache_clear()
    toy_package.pretend_installed(tmp_path, monkeypatch)
    yield
    table._entry_points.cache_clear()


def named(kind: str) -> dict[str, Name]:
    return {one.name: one for one in list_names(kind)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_name_has_one_sentence(kind: str) -> None:
    for one in list_names(kind):
        assert one.says and "\n" not in one.says and ". " not in one.says.replace("eq. ", ""), one
        assert one.package == ""


@pytest.mark.parametrize("kind", TABLES)
def test_the_names_are_those_of_the_table_in_its_order(kind: str) -> None:
    assert tuple(named(kind)) == TABLES[kind].in_order()


def test_a_method_says_for_which_models_it_is_and_whether_it_is_trained() -> None:
    groups = {name: one.group for name, one in named("methods").items()}
    assert groups["uce"] == "for image models, in closed form" and groups["esd"] == "for image models, trained"
    assert groups["rome"] == "for language models, in closed form"


def test_every_example_is_listed_with_the_first_sentence_of_its_header() -> None:
    found = named("examples")
    assert set(found) == {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.yaml")}
    assert all(Path(one.facts["path"]).is_file() and one.facts["model"] for one in found.values())
    assert found["erase-colour.yaml"].says == "Make a model forget a colour."
    assert found["language/fact.yaml"].models == "language"


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("methods", "toy"),
        ("attacks", "toy-capitals"),
        ("families", "toy-family"),
        ("formats", "toy-sites"),
        ("detectors", "toy-bright"),
    ],
)
def test_what_a_package_adds_is_listed_after_editc_s_own_with_the_package(kind: str, name: str) -> None:
    found = named(kind)
    assert found[name].package == "editc-toy" and found[name].says
    assert [one.package for one in found.values()] == sorted(one.package for one in found.values())
    assert f"  {name} " in editc("list", kind).stdout and "(package editc-toy)" in editc("list", kind).stdout


def test_a_broken_package_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table._entry_points.cache_clear()
    toy_package.put_beside(tmp_path, "their-package", "[editc.methods]\nbroken = no_such_module_of_anybody:THING\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "broken" in METHODS.names() and "broken" not in named("methods")
    table._entry_points.cache_clear()


def test_the_command_prints_every_name_and_json_has_the_facts() -> None:
    said, found = editc("list", "methods"), json.loads(editc("list", "methods", "--json").stdout)
    assert said.stderr == "" and found["kind"] == "methods"
    assert [f"  {one['name']} " in said.stdout for one in found["names"]] == [True] * len(METHODS.names())
    assert {one["trained"] for one in found["names"]} == {True, False}
    assert json.loads(editc("list", "examples", "--json").stdout)["names"][0]["path"].endswith(".yaml")


def test_a_kind_that_there_is_not_is_told() -> None:
    ran = editc("list", "metods")
    assert ran.returncode == 2 and "'methods'" in ran.stderr
    assert tuple(start.KINDS.choices) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_listing_imports_nothing_heavy(kind: str) -> None:
    heavy = {"torch", "transformers", "diffusers", "scipy", "onnx", "jinja2", "PIL", "tokenizers"}
    assert not imported(["list", kind]) & heavy


def test_a_sentence_ends_before_a_capital_and_nowhere_else() -> None:
    assert first_sentence("As in eq. 7 of it. The rest.\n\nMore.") == "As in eq. 7 of it."
    assert first_sentence("one line,\n    and another") == "one line, and another"
    assert header_text("# yaml-language-server: $schema=x.json\n# A b.\n# C.\nx: 1 # d\n") == "A b. C."
