"""What verify says of the edited weights themselves follows from their columns, before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from language_verify_cases import EMBEDDING, GOOD, NAME, TOWER, W, value, verified

from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.measurements import Claim
from editc.passes.language.verify import column_trace


def test_the_trace_is_of_the_columns_that_moved() -> None:
    before = np.eye(3)
    after = before.copy()
    after[:, 1] = [3.0, 4.0, 0.0]
    found = column_trace.measure_trace(before, after)
    assert found is not None and found.columns == 1
    assert found.cosine == pytest.approx(0.8) and found.distance == pytest.approx(np.sqrt(9 + 9))
    gone = before.copy()
    gone[:, 0] = 0.0
    found = column_trace.measure_trace(before, gone)
    assert found is not None and (found.cosine, found.distance) == (0.0, 1.0)
    assert column_trace.measure_trace(before, before) is None
    made = gone.copy()
    made[:, :2] *= 2.0
    made[0, 0] = 5.0
    found = column_trace.measure_trace(gone, made)
    assert found is not None and (found.columns, found.distance, found.distance_mean) == (2, 1.0, 1.0)
    found = column_trace.measure_trace(np.zeros((3, 3)), made)
    assert found is not None and (found.distance, found.cosine) == (0.0, 0.0) and not found.before.size


@dataclass
class Words:
    """A network with an output embedding of 20,000 words and nothing else."""

    width: int = 32
    asked: int = 0

    def embedding(self) -> Any:
        self.asked += 1
        return np.random.default_rng(7).standard_normal((20_000, self.width)).astype(np.float32)


def overlaps(changed: Mapping[str, tuple[Array, Array]], words: Words) -> dict[str, Claim]:
    traces = {name: column_trace.measure_trace(*pair) for name, pair in changed.items()}
    found = column_trace.overlaps([(name, one) for name, one in traces.items() if one], words)  # type: ignore[arg-type]
    return {claim.name: claim for claim in found}


def jaccard(E: Array, before: Array, after: Array) -> float:
    """Of the 200 words of two columns, by sorting all."""
    first, then = (set(np.argsort(-(E.astype(np.float64) @ column))[:200].tolist()) for column in (before, after))
    return len(first & then) / len(first | then)


def test_a_column_that_was_replaced_shares_no_words_and_one_that_only_grew_shares_all() -> None:
    draw = np.random.default_rng(3)
    before = draw.normal(size=(32, 10))
    other, longer = before.copy(), before.copy()
    other[:, 4], longer[:, 4] = draw.normal(size=32), 3 * before[:, 4]
    replaced = overlaps({"a": (before, other)}, Words())["trace_overlap"]
    assert replaced.value < 0.03 and replaced.subject == "a" and replaced.unit == "share"
    assert overlaps({"a": (before, longer)}, Words())["trace_overlap"].value == 1
    both = overlaps({"a": (before, longer), "b": (before, other)}, Words())
    assert both["trace_overlap"] == replace(replaced, subject="b")
    assert both["trace_overlap_mean"].value == pytest.approx((1 + replaced.value) / 2)


def test_a_column_that_is_gone_names_nothing_and_one_that_was_none_is_not_asked() -> None:
    before = np.random.default_rng(4).normal(size=(32, 3))
    gone = before.copy()
    gone[:, 1] = 0.0
    assert overlaps({"a": (before, gone)}, Words())["trace_overlap"].value == 0
    assert not overlaps({"a": (gone, before)}, Words())


def test_of_many_columns_those_are_asked_that_moved_the_most() -> None:
    """Of eight matrices the five columns each that moved most, and of these forty the twenty that moved most."""
    draw, words = np.random.default_rng(5), Words()
    pairs, every = {}, []
    for name in "abcdefgh":
        before, way = draw.normal(size=(2, 32, 12))
        after = before + way * draw.uniform(0.05, 1, size=12)
        far = np.linalg.norm(after - before, axis=0) / np.linalg.norm(before, axis=0)
        pairs[name] = before, after
        every += [(far[i], name, before[:, i], after[:, i]) for i in np.argsort(-far)[:5]]
    most = sorted(every, key=lambda one: -one[0])[:20]
    shared = {(name, i): jaccard(words.embedding(), *pair) for i, (_, name, *pair) in enumerate(most)}
    words = Words()
    found = overlaps(pairs, words)
    assert words.asked == 1, "one embedding"
    assert found["trace_overlap_mean"].value == pytest.approx(np.mean(list(shared.values())))
    worst = min(shared, key=lambda one: shared[one])
    assert found["trace_overlap"].subject == worst[0]
    assert found["trace_overlap"].value == pytest.approx(shared[worst])


def test_only_what_is_written_to_the_stream_is_read_by_the_embedding() -> None:
    before = np.random.default_rng(6).normal(size=(32, 4))
    words = Words()
    assert not overlaps({"narrow": (before[:16], -before[:16])}, words)
    assert overlaps({"narrow": (before[:16], -before[:16]), "whole": (before, -before)}, words)[
        "trace_overlap"
    ] == Claim("trace_overlap", 0.0, subject="whole", unit="share")
    idle = Words()
    assert not overlaps({"still": (before, before)}, idle) and not idle.asked, "no embedding where nothing moved"


def test_rows_and_claims_of_the_weights_agree_with_a_dense_computation() -> None:
    found = verified(TOWER, GOOD, scale=0.5)
    (row,) = found.report.sites
    after = W.copy()
    after[:, 2] += 0.5
    after = after.astype(np.float32).astype(np.float64)
    cosine = after[:, 2] @ W[:, 2] / np.linalg.norm(after[:, 2]) / np.linalg.norm(W[:, 2])
    assert (row["layer"], row["changed"], row["columns"], row["shape"]) == (1, 4, 1, [4, 6])
    assert row["cosine"] == pytest.approx(cosine) == value("trace_cosine", found, NAME)
    assert row["relative_change"] == pytest.approx(np.linalg.norm(after - W) / np.linalg.norm(W))
    assert value("trace_overlap", found, NAME) == jaccard(EMBEDDING.astype(np.float64), W[:, 2], after[:, 2]) < 1
    assert value("rank", found) == 1 == value("changed", found) and value("condition", found) == 10.0


def test_an_edit_that_changes_nothing_is_no_edit() -> None:
    with pytest.raises(EditcError) as caught:
        verified(TOWER.replace("was: Paris", "was: Paris"), GOOD, scale=0.0)
    (one,) = caught.value.diagnostics
    assert one.code == "E502" and one.message.startswith("the edit changes nothing: no stored element of 1 matrix ")
    assert one.span is not None and one.span.line == 4
