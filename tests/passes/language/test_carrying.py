"""At which tokens of a subject a fact is written, and how its value is scaled, on a pico model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import language_pass_cases
import numpy as np
import pytest
from language_pass_cases import FRANCE, columns, located, manifest, network, run_with, solved

from editc.core.network import Noise
from editc.core.ports import Context
from editc.core.prompts import Cloze, KnownFact, Spot
from editc.passes.language.keys import carrying
from editc.passes.language.keys.key_spots import recorded_edits
from editc.passes.language.keys.values import anchor_norm
from editc.passes.language.solve.record import record_edits

folder = language_pass_cases.folder
ports = language_pass_cases.ports

TOWER = "- fact: {prompt: In the city the Eiffel Tower is, subject: Eiffel Tower, answer: list, was: Rome}"


def carrying_at(parts: tuple[str, ...], patch: pytest.MonkeyPatch) -> None:
    """The trace as if the answer came back at these beginnings alone."""
    patch.setattr(
        carrying, "part_shares", lambda fact, manifest, network, layer, every: np.array([one in parts for one in every])
    )


def test_the_last_token_brings_back_what_a_trace_of_the_subject_says(ports: Context) -> None:
    known = KnownFact("In the city the Eiffel Tower is", "Eiffel Tower", "Rome")
    traced = network(ports).trace([known], Noise())
    for layer in (0, 2):
        spots = [replace(known.spot, subject="Eiffel"), known.spot]
        found = network(ports).trace_tokens(known, spots, layer, Noise())
        assert found.clean == pytest.approx(traced.clean[0]) and found.noised == pytest.approx(traced.noised[0])
        assert found.restored[1] == pytest.approx(traced.subject[0, layer], rel=1e-5)
        assert found.shares.shape == (2,)


def test_a_word_carries_with_half_of_the_strongest_share(
    folder: Path, tmp_path: Path, ports: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = manifest(folder, tmp_path / "m.yaml", [TOWER])
    for shares, expected in (
        ([0.4, 0.1], ("Eiffel",)),
        ([0.1, 0.1], ("Eiffel", "Eiffel Tower")),
        ([0.0, 0.3], ("Eiffel Tower",)),
        ([0.0, 0.0], ("Eiffel Tower",)),
    ):
        monkeypatch.setattr(carrying, "part_shares", lambda *given, shares=shares: np.array(shares))
        assert carrying.carrying_parts(asked.facts[0], asked, network(ports), 1) == expected


def test_a_name_of_one_word_is_not_traced(folder: Path, tmp_path: Path, ports: Context) -> None:
    asked = manifest(folder, tmp_path / "m.yaml", [FRANCE])
    assert carrying.carrying_parts(asked.facts[0], asked, None, 1) == ("France",)  # type: ignore[arg-type]


def test_a_subject_that_opens_every_context_is_written_at_its_last_token(
    folder: Path, tmp_path: Path, ports: Context
) -> None:
    opens = "- fact: {prompt: Eiffel Tower is, subject: Eiffel Tower, answer: list, was: Rome}"
    asked = manifest(folder, tmp_path / "m.yaml", [opens], "contexts: ['{}']")
    assert carrying.carrying_parts(asked.facts[0], asked, network(ports), 1) == ("Eiffel Tower",)


@pytest.mark.parametrize("method", ["rome", "memit", "alphaedit"])
def test_a_fact_is_written_where_it_is_carried_and_the_record_says_so(
    method: str, folder: Path, tmp_path: Path, ports: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing moves at the token before the part, and the answer becomes likelier."""
    carrying_at(("Eiffel",), monkeypatch)
    made = solved(folder, tmp_path, ports, [TOWER, f"    method: {method}", "    tokens: carrying"])
    assert [one.name for one in columns(made)] == ["Eiffel"]
    assert all("Eiffel Tower is" in spot.prompt and spot.subject == "Eiffel" for spot in columns(made)[0].contexts)
    asked = [Cloze("In the city the Eiffel Tower is", "list")]
    before, after = (network(ports).score(asked, changed).total[0] for changed in (None, run_with(made, ports)))
    assert after > before
    (record,) = record_edits(made)
    assert record["options"]["tokens"] == "carrying" and {key["at"] for key in record["holds"]} == {"Eiffel"}
    held = recorded_edits([record])
    assert held is not None and held.keys[0][0].causal_prefix == (columns(made)[0].contexts[0].causal_prefix)


def test_two_parts_have_a_key_and_a_value_each(
    folder: Path, tmp_path: Path, ports: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    carrying_at(("Eiffel", "Eiffel Tower"), monkeypatch)
    found = columns(solved(folder, tmp_path, ports, [TOWER, "    method: rome", "    tokens: carrying"]))
    assert [one.name for one in found] == ["Eiffel", "Eiffel Tower"]
    assert not np.allclose(found[0].residual, found[1].residual)


def test_an_option_that_is_left_out_or_says_the_default_changes_nothing(
    folder: Path, tmp_path: Path, ports: Context
) -> None:
    plain, said = (
        solved(folder, tmp_path, ports, [TOWER, *more]) for more in ([], ["    method: rome", "    tokens: last"])
    )
    assert "tokens" not in plain.methods[0]["options"] and "nas" not in plain.methods[0]["options"]
    one, other = (run_with(made, ports) for made in (plain, said))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert isinstance(columns(plain)[0].contexts[0], Spot)
    assert located(folder, tmp_path / "m.yaml", ports, [TOWER]).stages[0].method == "rome"


def test_nas_keeps_the_direction_of_the_value_and_the_length_of_the_output(
    folder: Path, tmp_path: Path, ports: Context
) -> None:
    plain, scaled = (
        columns(solved(folder, tmp_path, ports, [TOWER, *more]))[0]
        for more in ([], ["    method: rome", "    nas: true"])
    )
    assert np.array_equal(plain.value.delta, scaled.value.delta) and np.array_equal(plain.residual, plain.value.delta)
    before, value = plain.value.before, plain.value.before + plain.residual
    now = before + scaled.residual
    assert np.linalg.norm(now) == pytest.approx(np.linalg.norm(before))
    assert np.allclose(now / np.linalg.norm(now), value / np.linalg.norm(value))


def test_nas_of_a_value_without_length_is_the_value() -> None:
    assert np.array_equal(anchor_norm(np.ones(3), -np.ones(3)), -np.ones(3))
    assert np.allclose(anchor_norm(np.zeros(3), np.ones(3)), 0)
