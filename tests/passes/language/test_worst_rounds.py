"""The phrasings in which an edit holds worst are fed back into it, on a pico model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import language_pass_cases
import pytest
from language_pass_cases import FRANCE, JAPAN, TOWER, columns, located, manifest, run_with

from editc.core.places import Source
from editc.core.ports import Context
from editc.core.prompts import PREFIXES
from editc.core.solution import Solution
from editc.manifests.decode import decode
from editc.passes.language.keys.derive import DeriveLanguage
from editc.passes.language.solve import rounds
from editc.passes.language.solve.rounds import SolveInRounds, add_contexts
from editc.passes.language.verify.worst import Phrasing

folder = language_pass_cases.folder
ports = language_pass_cases.ports
WEAK = [FRANCE.replace("Berlin}", "Berlin, was: Paris}"), "    method: memit", "    lamb: 1e6"]


def solved(folder: Path, path: Path, ports: Context, edits: Any, worst: str) -> Solution:
    plan = located(folder, path / "m.yaml", ports, edits, f"verify: {{worst: {worst}}}")
    return SolveInRounds()(DeriveLanguage()(plan, ports), ports)


def told(*pairs: tuple[str, float, float]) -> tuple[Phrasing, ...]:
    return tuple(Phrasing(f"{name} {{}}", margin, share) for name, margin, share in pairs)


@pytest.mark.parametrize("method", ["rome", "memit"])
def test_after_feeding_back_the_worst_is_no_worse(method: str, folder: Path, tmp_path: Path, ports: Context) -> None:
    weak = [WEAK[0], f"    method: {method}", *(["    lamb: 1e4"] if method == "memit" else [])]
    found = solved(folder, tmp_path, ports, weak, "{count: 3, rounds: 2}")
    asked = rounds._asked(manifest(folder, tmp_path / "m.yaml", weak), ports)
    plain = solved(folder, tmp_path, ports, weak, "3")
    before, after = (rounds._mean(rounds._rank(one, asked, ports)[:3]) for one in (plain, found))
    assert after >= before and 1 <= len(found.worst_rounds) <= 2
    first = found.worst_rounds[0]
    assert (first.before, first.margin_before) == pytest.approx(before)
    if first.taken:
        assert len(columns(found)[0].contexts) > len(columns(plain)[0].contexts)
        assert all(
            any(text.format("The")[:8] in spot.prompt for spot in columns(found)[0].contexts)
            for text in first.phrasings
        )


def test_without_rounds_nothing_is_fed_back(folder: Path, tmp_path: Path, ports: Context) -> None:
    one, other = (solved(folder, tmp_path, ports, WEAK, worst) for worst in ("3", "{count: 3}"))
    assert one.worst_rounds == other.worst_rounds == ()
    assert all((run_with(one, ports)[name] == value).all() for name, value in run_with(other, ports).items())


def test_a_round_that_makes_the_worst_worse_is_not_taken(
    folder: Path, tmp_path: Path, ports: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = iter([told(("a", -1, 0), ("b", 2, 1)), told(("b", -3, 0), ("a", 2, 1))])
    monkeypatch.setattr(rounds, "_rank", lambda *given: next(ranked))
    found = solved(folder, tmp_path, ports, WEAK, "{count: 1, rounds: 3}")
    (only,) = found.worst_rounds
    assert not only.taken and only.phrasings == ("a {}",) and (only.margin_before, only.margin_after) == (-1, -3)
    assert (only.others_before, only.others_after) == (1, 0)
    assert all(spot.prompt.startswith(PREFIXES) for spot in columns(found)[0].contexts)


def test_rounds_end_where_every_phrasing_holds(
    folder: Path, tmp_path: Path, ports: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranked = iter([told(("a", -1, 0), ("b", 2, 1)), told(("b", 2, 1), ("a", 3, 1))])
    monkeypatch.setattr(rounds, "_rank", lambda *given: next(ranked))
    found = solved(folder, tmp_path, ports, WEAK, "{count: 1, rounds: 3}")
    assert [one.taken for one in found.worst_rounds] == [True]
    assert any(spot.prompt.startswith("a ") for spot in columns(found)[0].contexts)


def test_phrasings_are_added_once_and_to_what_the_edit_has(folder: Path, tmp_path: Path) -> None:
    asked = manifest(folder, tmp_path / "m.yaml", [FRANCE, JAPAN])
    fact, concept = asked.language_edits
    more = ("Say: {}", "Say: {}")
    assert add_contexts(fact, more, "rome", asked).contexts == (*(f"{one}{{}}" for one in PREFIXES), "Say: {}")
    own = replace(fact, contexts=("So {}",))
    assert add_contexts(own, more, "rome", asked).contexts == ("So {}", "Say: {}")
    assert (add_contexts(concept, more, "rocr", asked).contexts or ())[-2:] == (
        "The capital of {}",
        "Say: The capital of {}",
    )
    assert add_contexts(concept, more, "lunar", asked).contexts == ("The capital of {} is", "Say: The capital of {} is")


def read(rest: str) -> Any:
    return decode(Source("m.yaml", f"editc: 1\nmodel: m\nedits:\n{rest}"))


def test_a_number_and_a_block_say_how_many_and_how_often() -> None:
    fact = f"  {TOWER}\nverify: "
    for text, expected in (("{worst: 4}", (4, 0)), ("{worst: {count: 4, rounds: 2}}", (4, 2))):
        found, faults = read(fact + text)
        assert found is not None and not faults and (found.worst, found.worst_rounds) == expected
    for text, code in (("{worst: 0}", "E1"), ("{worst: {rounds: 1}}", "E1"), ("{worst: {count: 4, often: 1}}", "E102")):
        found, faults = read(fact + text)
        assert found is None and faults[0].code.startswith(code)


def test_rounds_need_an_edit_that_reads_keys_in_contexts() -> None:
    ablate = "  - ablate: {concept: lists, present: [a list, the long list], absent: [a page, the page]}\n"
    found, faults = read(f"{ablate}verify: {{worst: {{count: 4, rounds: 1}}}}")
    assert found is None
    (fault,) = faults
    assert fault.code == "E141" and "feed phrasings back" in fault.message
    assert fault.span is not None and fault.span.line == 5
