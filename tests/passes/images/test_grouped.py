"""Prompts of several names or pieces go through an encoder together where that changes no bit of their rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from cache_cases import PROMPTS, Counting, Memory

from editc.core.ports import EncodedPrompt
from editc.passes.images.rows import piecewise
from editc.passes.images.rows.encoding import encode_names
from editc.passes.images.rows.grouped import GROUP, GroupedEncoder
from editc.passes.images.rows.inputs import TextStream

NAMES = [PROMPTS[start : start + 6] for start in range(0, 144, 4)]
"""Names whose prompts overlap, so that a prompt may be in two groups."""


class Calls(Counting):
    """Remembers how many prompts each call had."""

    def __init__(self, alone: bool) -> None:
        super().__init__()
        self.alone = alone
        self.calls: list[int] = []

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        self.calls.append(len(prompts))
        return super().encode(prompts)


@pytest.mark.parametrize("warm", [0, 1, 20], ids="{} names in the cache".format)
def test_names_go_together_only_where_rows_do_not_depend_on_each_other(warm: int) -> None:
    single, grouped = Calls(alone=False), Calls(alone=True)
    found = []
    for encoder in (single, grouped):
        cache = Memory()
        encode_names(TextStream(Counting(), "mark"), NAMES[3 : 3 + warm], cache)
        found.append(encode_names(TextStream(encoder, "mark"), NAMES, cache).entries)
    assert single.calls == [6] * (len(NAMES) - warm)
    assert max(grouped.calls) <= GROUP and len(grouped.calls) <= -(-4 * (len(NAMES) - warm) // (GROUP - 12))
    assert found[0].keys() == found[1].keys()
    for prompt, one in found[0].items():
        np.testing.assert_array_equal(one.rows, found[1][prompt].rows)


def test_pieces_of_a_list_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    single, grouped, again = Calls(alone=False), Calls(alone=True), Calls(alone=True)
    cache = Memory()
    first = piecewise.condense_prompts(PROMPTS, single, None, mark="mark")
    second = piecewise.condense_prompts(PROMPTS, grouped, cache, mark="mark")
    assert first.rows.tobytes() == second.rows.tobytes()
    assert sorted(grouped.asked) == sorted(PROMPTS) and len(grouped.calls) < len(single.calls)
    piecewise.condense_prompts((*PROMPTS, "one more"), again, cache, mark="mark")
    assert len(again.asked) <= piecewise.LONGEST_PIECE, "pieces that are cached are not encoded with others"


def test_a_call_that_was_not_told_is_answered_by_itself() -> None:
    encoder = Calls(alone=True)
    grouped = GroupedEncoder(encoder, [PROMPTS[:3], PROMPTS[3:6]])
    assert [one.prompt for one in grouped.encode(PROMPTS[40:42])] == list(PROMPTS[40:42])
    assert [one.prompt for one in grouped.encode(PROMPTS[3:6])] == list(PROMPTS[3:6])
    assert encoder.calls == [2, 3]
