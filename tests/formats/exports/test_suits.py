"""Which families a format suits stands once: errors, help, advice and the documentation say the same of every pair."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from editc.core.diagnostics import EditcError
from editc.formats.doctor import a1111, comfyui, diffusers, peft, vllm
from editc.formats.doctor.advice import advise_conversion, advise_export
from editc.formats.doctor.models import KINDS
from editc.formats.exports.lowering import advise_without_adapter
from editc.formats.exports.suits import BEST, SUITS, best_format
from editc.formats.exports.trials import PIPELINES
from editc.formats.exports.write import find_format, find_refusals, suitable_formats
from editc.registry import table
from editc.registry.families import FAMILIES
from editc.registry.formats import FORMATS

ROOT = Path(__file__).parents[3]
OWN = tuple(name for table in FORMATS.own.values() for name in table)
EVERY = (*FAMILIES.names("image"), *FAMILIES.names("language"), "nobody-knows")


def advised(text: str) -> set[str]:
    """The formats that a text tells people to export as."""
    return set(re.findall(r"--as ([\w-]+)", text)) | set(re.findall(r"as (?:a )?`([\w-]+)`", text))


def test_every_format_of_editc_has_a_row() -> None:
    assert set(SUITS) == set(OWN)
    assert all(FORMATS.resolve(name).suits is SUITS[name] for name in OWN)


@pytest.mark.parametrize("name", FORMATS.names())
@pytest.mark.parametrize("family", EVERY)
def test_a_refusal_and_the_list_of_formats_agree(name: str, family: str) -> None:
    """What is refused says why and names others, all of which take the family; what is listed is not refused."""
    found = [fault for fault in find_refusals([name], family) if fault.code == "E680"]
    assert bool(found) == (name not in suitable_formats(family)) == bool(FORMATS.resolve(name).suits(family))
    for fault in found:
        named = fault.help.partition(": ")[2].split(", ")
        assert named == list(suitable_formats(family)) and "{" not in fault.message


@pytest.mark.parametrize("family", EVERY)
def test_what_is_advised_for_a_family_takes_it(family: str) -> None:
    """The doctor's way for a delta, and what an edit that is no adapter may become."""
    for text in (advise_export(family), advise_without_adapter(family)):
        assert advised(text) and not find_refusals(advised(text), family), text
    assert best_format(family) in BEST


@pytest.mark.parametrize("family", KINDS)
def test_what_the_doctor_advises_for_a_kind_of_model_takes_each_of_its_families(family: str) -> None:
    (form,) = advised(advise_conversion(KINDS[family]))
    assert not find_refusals([form], family)


def test_no_loader_names_a_format_that_there_is_not() -> None:
    for module in (a1111, comfyui, diffusers, peft, vllm):
        for advice in module.ADVICE.values():
            assert set(re.findall(r"--as ([\w-]+)", advice)) <= set(FORMATS.names()), advice


def test_a_plugin_that_cannot_be_imported_stands_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a format nor a family of that kind: other formats are refused and advised as before, and it is named
    where it is asked for."""
    before = {family: suitable_formats(family) for family in EVERY}
    theirs = (table.Plugin("no_such_module_of_anybody:THING", "theirs"),)
    monkeypatch.setattr(table, "_entry_points", lambda group: {"broken": theirs})
    assert {family: suitable_formats(family) for family in EVERY} == before
    assert [fault.code for fault in find_refusals(["kohya"], "flux")] == ["E680"]
    with pytest.raises(EditcError, match="broken"):
        find_format("broken")


@pytest.mark.parametrize("name", ["kohya", "diffusers"])
def test_every_family_of_a_lora_has_the_pipeline_that_loads_it(name: str) -> None:
    assert all(family in PIPELINES for family in SUITS[name].families)


@pytest.mark.parametrize("name", OWN)
def test_the_documentation_has_a_row_for_every_format(name: str) -> None:
    """docs/reference/exports.md: the families, and the file that `emit` writes."""
    text = (ROOT / "docs" / "reference" / "exports.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    _, _, _, families, file, *_ = (cell.strip() for cell in row.split("|"))
    assert families == SUITS[name].says
    assert file.split(",")[0].strip("`/") == FORMATS.resolve(name).output
