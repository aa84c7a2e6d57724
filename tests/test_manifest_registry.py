"""The registry: every entry can be imported, every method's options can be read from YAML."""

from __future__ import annotations

from dataclasses import dataclass

import manifest_methods
import pytest

from editc.core import registry
from editc.core.registry import Option


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in registry.TABLES for name in registry.names(kind)])
def test_every_entry_is_there(kind: registry.Kind, name: str) -> None:
    assert registry.resolve(kind, name) is not None


@pytest.mark.parametrize("method", [*registry.names("method"), *registry.names("language")])
def test_the_options_of_every_method_are_documented_and_have_defaults_that_work(method: str) -> None:
    assert all(option.doc for option in registry.options(method)), "a line `name: what it does` in the docstring"
    registry.construct(method, {})


def test_options_come_from_the_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "TABLES", manifest_methods.TABLES)
    assert registry.options("uce") == (
        Option("lamb", float, None, "ridge towards the old weights."),
        Option("technique", ("replace", "tensor"), "replace", ""),
    )
    assert [option.type for option in registry.options("rece")] == [int, float, bool, str]


@pytest.mark.parametrize(
    ("name", "near"), [("rec", "rece"), ("RECE", "rece"), ("r-ece", "rece"), ("quite else", None), ("", None)]
)
def test_nearest(name: str, near: str | None) -> None:
    assert registry.nearest(name, ("rece", "uce")) == near


def test_an_option_that_yaml_cannot_give_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Odd:
        table: dict[str, int] | None = None

    monkeypatch.setattr(registry, "resolve", lambda kind, name: Odd)
    with pytest.raises(TypeError, match="an option is int, float, bool, str"):
        registry.options("odd")
