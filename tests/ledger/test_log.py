"""The ledger of a model: order, parents, what later edits must hold, and what does not fit together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from editc.cli.log import describe_log, show_log
from editc.core.prompts import Cloze, Spot
from editc.formats.apply.status import DeltaState, Status
from editc.ledger.log import read_log
from editc.passes.language.keys.key_spots import record_key, recorded_edits


class Place:
    """As much of a model as a log needs."""

    place = "./model"


def fact(subject: str, answer: str) -> dict[str, Any]:
    """A recorded fact with one key, in two contexts."""
    texts = [f"The capital of {subject}", f"It was a quiet afternoon. The capital of {subject}"]
    key = {"at": subject, "chat": False, "texts": texts}
    return {
        "kind": "fact",
        "concept": subject,
        "prompt": f"The capital of {subject} is",
        "answer": answer,
        "holds": [key],
    }


def state(name: str, *edits: dict[str, Any], after: tuple[str, ...] = (), presence: Any = "applied") -> DeltaState:
    return DeltaState(name * 64, presence, {}, edits, True, after)


def status(*deltas: DeltaState, interrupted: bool = False) -> Status:
    return Status(Place(), deltas, interrupted)  # type: ignore[arg-type]


def test_a_log_has_the_deltas_in_order_with_parents_and_what_they_hold() -> None:
    first, second = state("a", fact("France", "Rome")), state("b", fact("Japan", "Rome"), after=("a" * 64,))
    found = read_log(status(first, second))
    assert [one.delta_id[0] for one in found.entries] == ["a", "b"]
    assert [parent.here for parent in found.entries[1].parents] == [True]
    assert found.entries[0].holds == ("The capital of France",) and found.entries[1].overwrites == ()
    assert found.notes == ()
    text = show_log(found).text
    assert "built on   aaaaaaaaaaaa" in text and "holds      the output at the end of `The capital of Japan`" in text
    described: Any = describe_log(found)
    assert described["deltas"][1]["parents"] == [{"delta_id": "a" * 64, "here": True}]


def test_a_log_says_what_does_not_fit_together() -> None:
    """A parent that is missing or comes later, a delta that was built without `after`, a killed apply."""
    orphan = read_log(status(state("b", fact("Japan", "Rome"), after=("a" * 64,))))
    assert len(orphan.notes) == 1 and "which is not in this model" in orphan.notes[0]
    assert "(not here)" in show_log(orphan).text
    late = read_log(status(state("b", fact("Japan", "Rome"), after=("a" * 64,)), state("a", fact("France", "Rome"))))
    assert "which is not in this model" in late.notes[0] and "without `after`" in late.notes[1]
    apart = read_log(status(state("a", fact("France", "Rome")), state("b", fact("Japan", "Rome"))))
    assert len(apart.notes) == 1 and "bbbbbbbbbbbb was built without `after`" in apart.notes[0]
    assert "interrupted" in read_log(status(interrupted=True)).notes[0]


def test_a_log_says_which_delta_writes_at_the_same_key_again() -> None:
    first, again = state("a", fact("France", "Rome")), state("b", fact("France", "Oslo"), after=("a" * 64,))
    assert read_log(status(first, again)).entries[1].overwrites == ("a" * 64,)
    gone = state("a", fact("France", "Rome"), presence="not applied")
    assert read_log(status(gone, again)).entries[1].overwrites == ()


def test_a_log_of_many_keys_is_short_unless_it_is_asked_for_all() -> None:
    many = read_log(status(state("a", *(fact(f"Land {i}", "Rome") for i in range(9)))))
    assert "and 5 more keys" in show_log(many).text and "more key" not in show_log(many, every=True).text
    assert "no delta is recorded" in show_log(read_log(status())).text


def test_a_forged_journal_makes_no_traceback() -> None:
    forged: tuple[Any, ...] = (None, 3, [3], [{"texts": 3}], [{"texts": [3]}], [{"texts": []}])
    for holds in forged:
        edit = {"kind": "fact", "concept": "x", "prompt": "y", "answer": "z", "holds": holds}
        assert read_log(status(state("a", edit))).entries[0].holds == ()
        assert show_log(read_log(status(state("a", edit)))).text


def test_what_a_record_holds_is_read_back_as_the_same_positions() -> None:
    """A position is the text up to the subject's end: nothing behind it changes what a causal model reads there."""
    spots = (Spot("The capital of France is", "France"), Spot("So the capital of France is", "France", True))
    ends = (Spot("What is it", "", False),)
    edit = fact("France", "Rome") | {"holds": [record_key(spots[:1]), record_key(spots[1:]), record_key(ends)]}
    found = recorded_edits([edit])
    assert found is not None and found.asked == (Cloze("The capital of France is", "Rome"),)
    assert [[one.causal_prefix for one in group] for group in found.keys] == [
        [spots[0].causal_prefix],
        [spots[1].causal_prefix],
        [ends[0].causal_prefix],
    ]
    assert recorded_edits([{"kind": "fact"}]) is None and recorded_edits([{"holds": [{"texts": 3}]}]) is None


def test_what_a_build_left_of_earlier_deltas_is_shown_and_a_forged_record_is_not_trusted() -> None:
    first = state("a", fact("France", "Rome"))
    left = {"delta_id": "a" * 64, "facts": 10, "before": 1.0, "after": 0.9, "moved": 0.0123, "preserved": False}
    for records, expected in (
        ((left,), "leaves     of aaaaaaaaaaaa: 90% of its facts said (100% before), its outputs moved by 0.0123, not"),
        (({"delta_id": "a" * 64, "facts": "x", "before": [], "moved": {}},), "of aaaaaaaaaaaa: nothing measured"),
    ):
        later = replace(state("b", fact("Japan", "Rome"), after=("a" * 64,)), earlier=records)
        assert expected in show_log(read_log(status(first, later))).text
    many = replace(state("b"), earlier=(left,) * 9)
    assert "and 5 deltas before these" in show_log(read_log(status(first, many))).text
    assert show_log(read_log(status(first, many)), every=True).text.count("of aaaaaaaaaaaa") == 9
