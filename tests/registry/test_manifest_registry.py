"""The registry: every entry can be imported, every method's options can be read from YAML."""

from __future__ import annotations

from dataclasses import dataclass

import manifest_methods
import pytest

from editc.manifests import image_schema, language_schema
from editc.registry.detectors import DETECTORS
from editc.registry.families import FAMILIES
from editc.registry.formats import FORMATS
from editc.registry.key_rules import KEY_RULES
from editc.registry.methods import METHODS
from editc.registry.options import Option, construct, option_texts, options, without_option_lines
from editc.registry.table import Table, nearest

EVERY = [(table, name) for table in (METHODS, KEY_RULES, FAMILIES, FORMATS, DETECTORS) for name in table.names()]


@pytest.mark.parametrize(("table", "name"), EVERY, ids=lambda one: getattr(one, "noun", one))
def test_every_entry_is_there(table: Table, name: str) -> None:
    assert table.resolve(name) is not None


@pytest.mark.parametrize("table", [METHODS, KEY_RULES, FAMILIES], ids=lambda table: table.noun)
def test_what_a_thing_says_of_its_models_is_where_it_stands(table: Table) -> None:
    """A plugin's name is placed by what the thing itself says; editc's own by the table, which must say the same."""
    assert all(table.models(table.resolve(name)) == table.models_of(name) for name in table.names())


def test_the_groups_of_entry_points_are_plurals() -> None:
    groups = [table.group for table in (METHODS, KEY_RULES, FAMILIES, FORMATS, DETECTORS)]
    assert groups == ["editc.methods", "editc.key_rules", "editc.families", "editc.formats", "editc.detectors"]


@pytest.mark.parametrize("method", [*METHODS.names("image"), *METHODS.names("language")])
def test_the_options_of_every_method_are_documented_and_have_defaults_that_work(method: str) -> None:
    texts = option_texts(METHODS.resolve(method))
    assert [option.name for option in options(method) if option.name not in texts] == []
    construct(method, {})


@pytest.mark.parametrize("models", ["image", "language"])
def test_no_option_is_a_key_of_the_edit_that_it_stands_in(models: str) -> None:
    """Such an option could never be given: the manifest would have the key twice."""
    tables = image_schema.EDITS if models == "image" else language_schema.EDITS
    keys = {field.name for table in tables.values() for field in table.fields}
    given = {(method, option.name) for method in METHODS.names(models) for option in options(method)}
    assert not [one for one in given if one[1] in keys]


def test_options_come_from_the_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_methods.stand_in(monkeypatch)
    assert options("uce") == (
        Option("lamb", float, None),
        Option("technique", ("replace", "tensor"), "replace"),
    )
    assert [option.type for option in options("rece")] == [int, float, bool, str]


def test_a_text_stands_under_the_field_or_in_a_line_of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_methods.stand_in(monkeypatch)
    assert option_texts(METHODS.resolve("uce")) == {
        "lamb": "ridge towards the old weights.",
        "technique": "How a key reaches its target, on two lines.",
    }
    assert option_texts(METHODS.resolve("rome")) == {
        "covariance": "or not.",
        "lamb": "The text under the field, which comes before the line.",
    }


def test_the_lines_of_options_are_left_out_of_a_docstring() -> None:
    doc = "Plain.\n\n    note: stays.\n\n    lamb: ridge towards\n        the old weights.\n    "
    assert without_option_lines(doc, ["lamb"]) == "Plain.\n\n    note: stays.\n"


@pytest.mark.parametrize(
    ("name", "near"), [("rec", "rece"), ("RECE", "rece"), ("r-ece", "rece"), ("quite else", None), ("", None)]
)
def test_nearest(name: str, near: str | None) -> None:
    assert nearest(name, ("rece", "uce")) == near


def test_an_option_that_yaml_cannot_give_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Odd:
        table: dict[str, int] | None = None

    monkeypatch.setattr(METHODS, "resolve", lambda name: Odd)
    with pytest.raises(TypeError, match="an option is int, float, bool, str"):
        options("odd")
