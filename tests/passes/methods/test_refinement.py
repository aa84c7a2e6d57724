"""MACE and TRCE, first stages: which rows they take, and that their edit is the least-squares solution over them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from derive_cases import ERASE, LENGTH, WordEncoder, context, manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import changes, system

from editc.backends.encoders import load
from editc.backends.encoders.clip import ClipEncoder
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.image_check import TokenWeights
from editc.core.ports import Encoder
from editc.core.problem import System
from editc.demo import MODEL
from editc.families.images.unet import SD1
from editc.passes.images.keys.derive import Derive
from editc.passes.images.keys.rules.eot import EOT, eot_rows, eot_weights
from editc.passes.images.keys.rules.matched import matched_rows
from editc.passes.images.locate.locate import Locate
from editc.passes.images.rows.phrases import Phrase, PromptLookup
from editc.passes.methods.images.mace import MACE
from editc.passes.methods.images.trce import TRCE
from editc.passes.methods.images.uce import UCE

CORPUS = ("a dog on grass", "two cats", "an old house by the sea at night")
CONTEXTS = 'contexts: ["{}", "a photo of {} here", "{} at sea"]\n'


def derived(text: str, corpus: tuple[str, ...] = CORPUS) -> System:
    ctx = context()
    return Derive(corpus)(Locate((SD1,))(manifest(text + CONTEXTS), ctx), ctx).systems["text"]


def rows(*prompts: str) -> list[Array]:
    return [one.rows for one in WordEncoder().encode(prompts)]


def columns_of(problem: System) -> set[tuple[float, ...]]:
    """Every key over its target, rounded, whatever their order."""
    stacked = [np.vstack([block.keys, block.targets]) for block in problem.blocks]
    return {tuple(column) for column in np.round(np.hstack(stacked), 9).T.tolist()}


# ---------------------------------------------------------------- rows


@settings(deadline=None)
@given(st.integers(4, 30), st.integers(1, 20), st.integers(1, 4), st.integers(0, 4))
def test_matched_rows_are_all_but_the_concepts_own(total: int, first: int, count: int, width: int) -> None:
    first = min(first, total - 1)
    at, target = (
        Phrase(first, min(first + count, total)),
        Phrase(first, min(first + width, total)),
    )
    sources, counterparts = matched_rows(total, at, target)
    assert not set(sources) & set(range(at.first, at.end)) and not set(counterparts) & set(range(first, target.end))
    assert len(set(counterparts)) == len(sources) and all(0 <= row < total for row in counterparts)
    assert len(sources) == total - max(at.end, target.end) + at.first  # none is lost that has a counterpart


@pytest.mark.parametrize(("name", "target"), [("circle", "square"), ("round shape", "box"), ("disc", "a flat thing")])
def test_matched_columns_are_the_words_that_two_prompts_share(name: str, target: str) -> None:
    """Against the published way: the common beginning and end of both token lists, and the padding behind them."""
    expected = set()
    for template in ("{}", "a photo of {} here", "{} at sea"):
        old, new = template.format(name).split(), template.format(target).split()
        begin = next(i for i in range(9) if old[i] != new[i])
        end = next(i for i in range(9) if old[-1 - i] != new[-1 - i])
        first, second = rows(" ".join(old), " ".join(new))
        pairs = [(row, row) for row in range(1 + begin)]
        after = range(max(0, LENGTH - 1 - max(len(old), len(new)) + end))
        pairs += [(1 + len(old) - end + i, 1 + len(new) - end + i) for i in after]
        expected |= {tuple(np.round(np.concatenate([first[a], second[b]]), 9).tolist()) for a, b in pairs}
    problem = derived(f"edits:\n  - erase: {name}\n    to: {target}\n    keys: matched\n")
    assert columns_of(problem) == expected
    assert set(problem.blocks[0].weights) == {1.0}


@settings(deadline=None)
@given(st.integers(4, 30), st.integers(1, 26), st.integers(1, 4), st.integers(0, 4))
def test_the_end_of_a_text_goes_to_the_end_of_the_other(total: int, first: int, count: int, behind: int) -> None:
    first = min(first, total - 2)
    at = Phrase(first, min(first + count, total - 1))
    end = min(at.end + behind, total - 1)
    pairs = dict(zip(*(part.tolist() for part in eot_rows(total, at, (end, 2))), strict=True))
    anchors = {0: 0, end: 2, **({total - 1: total - 1} if end < total - 1 else {})}
    assert pairs == anchors | dict.fromkeys(range(at.first, at.end), total - 1)
    weights = eot_weights(total, at, end, TokenWeights(bos=2, eot=3, last=0.5, keyword=7))
    assert weights[0] == 2 and weights[end] == 3 and (weights[at.first : at.end] == 7).all()
    assert weights.sum() == 2 + 3 + 7 * (at.end - at.first) + 0.5 * (total - 1 - end)


def end_of_text(encoder: Encoder) -> int:
    """The tokenizer's own end of text."""
    assert isinstance(encoder, ClipEncoder)
    return int(encoder.tokenize([""]).ids[0, 1])


@pytest.mark.parametrize("prompt", ["a circle", "a red circle, on grass!", "zyxwv circle at noon", "circle's edge"])
def test_the_end_is_counted_in_tokens_and_not_in_words(prompt: str) -> None:
    """The row that `keys: eot` takes is the first that holds the tokenizer's own end of text."""
    encoder = load.load(MODEL)
    template = prompt.replace("circle", "{}", 1)
    request = replace(manifest(ERASE).image_edits[0], keys="eot")
    book = PromptLookup.encode(encoder, chain(*EOT.prompts(request, [template], SD1.neutral)))
    (found,) = EOT.pairs(request, [template], SD1.neutral, book)
    old, new = (next(iter(encoder.encode([template.format(name)]))) for name in ("circle", "square"))
    end = end_of_text(encoder)
    np.testing.assert_array_equal(found.keys.T, old.rows[[old.tokens.index(end)]])
    np.testing.assert_array_equal(found.targets.T, new.rows[[new.tokens.index(end)]])


def test_there_are_prompts_whose_words_are_not_their_tokens() -> None:
    """The control of the test above: counted in words, another row would be taken."""
    encoder = load.load(MODEL)
    (encoded,) = encoder.encode(["zyxwv circle, at noon"])
    assert encoded.tokens.index(end_of_text(encoder)) > 1 + len(encoded.prompt.split())


# ---------------------------------------------------------------- solutions


def least_squares(W: Array, terms: list[tuple[float, Array, Array]], lamb: float) -> Array:
    """argmin sum w |W' c - W t|^2 + lamb |W' - W|^2 over rows c, t (n, d): one dense lstsq, nothing of ours."""
    wide = W.shape[1]
    left = [np.sqrt(weight) * c for weight, c, _ in terms] + [np.sqrt(lamb) * np.eye(wide)]
    right = [np.sqrt(weight) * t @ W.T for weight, _, t in terms] + [np.sqrt(lamb) * W.T]
    return np.asarray(np.linalg.lstsq(np.vstack(left), np.vstack(right), rcond=None)[0].T)


def edited(method: Any, problem: System) -> list[Array]:
    edit = method(problem)
    assert edit.form == "shared" and len(edit.left) == len(edit.right) == 1  # every layer has the same multiplier
    return [W + change for W, change in zip(problem.weights, changes(edit, tuple(problem.weights)), strict=True)]


def anchors(weights: TokenWeights) -> list[tuple[float, Array, Array]]:
    """TRCE's terms for `circle` and `disc` to `square`, from words counted by hand: here each word is one token."""
    terms = []
    for name in ("circle", "disc"):
        for template, at in (("{}", 1), ("a photo of {} here", 4), ("{} at sea", 1)):
            (old, new), words = rows(template.format(name), template.format("square")), len(template.split())
            for weight, a, b in (
                (weights.bos, 0, 0),
                (weights.eot, 1 + words, 1 + words),
                (weights.last * (LENGTH - 2 - words), -1, -1),
                (weights.keyword, at, -1),
            ):
                terms.append((weight / 6, old[[a]], new[[b]]))
    return terms


@pytest.mark.parametrize("given_", ["", "{bos: 0.5, eot: 2, last: 0.1, keyword: 0.7}", "{eot: 0, keyword: 1}"])
def test_trce_is_the_dense_least_squares_solution(given_: str) -> None:
    asked = (
        ERASE
        + "    also: [disc]\n    method: trce\n    keys: eot\n"
        + (f"    token_weights: {given_}\n" * bool(given_))
    )
    weights = manifest(asked).image_edits[0].token_weights
    problem = derived(asked + "preserve: {weight: 0.3}\n")
    kept = [(0.3 / len(CORPUS), prompt, prompt) for prompt in rows(*CORPUS)]
    for W, found in zip(problem.weights, edited(TRCE(lamb=0.01), problem), strict=True):
        expected = least_squares(W, [*anchors(weights), *kept], 0.01)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)
        assert np.linalg.norm(found - W) > 0.05 * np.linalg.norm(W)  # there was something to find


def test_mace_is_the_dense_least_squares_solution() -> None:
    problem = derived(ERASE + "    keys: matched\npreserve: {weight: 0.2}\n")
    (block,) = problem.blocks
    terms = [(1.0, block.keys.T, block.targets.T), *((0.2, prompt, prompt) for prompt in rows(*CORPUS))]
    for W, found in zip(problem.weights, edited(MACE(lamb=2.0), problem), strict=True):
        np.testing.assert_allclose(found, least_squares(W, terms, 2.0), rtol=1e-8, atol=1e-9)


def test_a_published_anchor_alone_makes_one_column_a_prompt() -> None:
    problem = derived(ERASE + "    also: [disc]\n    keys: eot\n")
    assert problem.blocks[0].keys.shape[1] == 6 and problem.blocks[0].weights.sum() == pytest.approx(1)
    assert TRCE()(problem).stats.rank <= 6


def test_token_weights_act_each_on_its_own() -> None:
    plain = edited(TRCE(), derived(ERASE + "    keys: eot\n"))[0]
    for name in ("last", "keyword", "bos"):
        other = edited(TRCE(), derived(ERASE + f"    keys: eot\n    token_weights: {{{name}: 1}}\n"))[0]
        assert np.linalg.norm(other - plain) > 1e-3 * np.linalg.norm(plain), name
    same = edited(TRCE(), derived(ERASE + "    keys: eot\n    token_weights: {eot: 1, last: 0}\n"))[0]
    np.testing.assert_array_equal(same, plain)


@pytest.mark.parametrize("method", [MACE, TRCE, UCE])
def test_the_preserve_scale_acts_once(method: Any) -> None:
    """The authors' code of MACE and TRCE applies it twice, so that 0.1 acts as 0.01."""
    problem = system(2)
    once, twice = (
        replace(problem, preserved=replace(problem.preserved, moment=share * problem.preserved.moment))
        for share in (0.1, 0.01)
    )
    scaled = edited(method(preserve_scale=0.1), problem)
    for found, right, wrong in zip(scaled, edited(method(), once), edited(method(), twice), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-14)
        assert np.linalg.norm(found - wrong) > 1e-3 * np.linalg.norm(found)


def test_what_is_kept_is_summed_for_matched_and_averaged_for_eot() -> None:
    each = sum(prompt.T @ prompt for prompt in rows(*CORPUS))
    weighted = "preserve: {weight: 1}\n"
    for rule, expected in (("matched", each), ("eot", each / len(CORPUS))):
        moment = derived(ERASE + f"    keys: {rule}\n{weighted}").preserved.moment
        np.testing.assert_allclose(moment, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("also", ["", "    also: [disc, ring]\n"])
@pytest.mark.parametrize("kept", [CORPUS, CORPUS[:1], tuple(f"{i} dogs" for i in range(70))])
def test_kept_prompts_count_twice_the_edited_for_matched(also: str, kept: tuple[str, ...]) -> None:
    """Whatever the length of the corpus and the number of names, when the manifest gives no weight."""
    problem = derived(ERASE + also + "    keys: matched\n", kept)
    edited_prompts = 3 * len(problem.blocks[0].request.names)
    rows_kept = np.trace(problem.preserved.moment) / np.trace(sum(p.T @ p for p in rows(*kept))) * len(kept)
    assert rows_kept == pytest.approx(2 * edited_prompts)


def test_padding_alone_needs_padding() -> None:
    """A prompt that fills the encoder's window has no padding for `last` to stand for."""
    full = " ".join(["very"] * (LENGTH - 3)) + " {}"
    for template, fits in ((full, False), (full.removeprefix("very "), True)):
        text = ERASE + f"    keys: eot\n    token_weights: {{eot: 0, last: 1}}\ncontexts: [{template!r}]\n"
        ctx = context()
        derive, plan = Derive(CORPUS), Locate((SD1,))(manifest(text), ctx)
        if fits:
            assert derive(plan, ctx).systems["text"].blocks[0].weights.tolist() == [1.0]
        else:
            with pytest.raises(EditcError, match="E310"):
                derive(plan, ctx)
