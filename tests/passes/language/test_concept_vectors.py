"""Columns that name a concept: scores without the vocabulary, exact edits, and what a probe says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import smollm2
import tiny_language as pico
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from editc.core.delta import Array, Site
from editc.core.diagnostics import EditcError
from editc.core.language_edits import Redirect
from editc.core.language_problem import ConceptScores, ScoredColumns
from editc.core.network import Network
from editc.core.places import Source
from editc.core.solution import Edit
from editc.manifests.decode import decode
from editc.numerics import logits
from editc.numerics.ridge import NonFiniteError
from editc.passes.language.keys import concept_columns as probe
from editc.passes.methods.language.concept_vectors import ConceptVectors
from editc.registry.options import construct
from editc.verbs.explain import explain

V, D, F = 300, 12, 40
SEEDS = st.integers(0, 10_000)
few = settings(max_examples=12, deadline=None)
EVERY = ConceptVectors(count=5, threshold=0.0)


def world(seed: int) -> tuple[Array, Array, Array]:
    """An embedding (V, D), a matrix (D, F), and scores (2, F) that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(V, D)) + rng.normal(size=D), rng.normal(size=(D, F)), rng.normal(size=(2, F)) * 4


def columns(seed: int, strengths: Sequence[float] = (1.0, 1.0)) -> ScoredColumns:
    _, W, scores = world(seed)
    ranks = np.argsort(np.argsort(-np.abs(scores), axis=1), axis=1)
    return ScoredColumns(W, ConceptScores(scores, ranks), np.array(strengths))


def change(edit: Edit) -> Array:
    return edit.left[0] @ edit.right[0]


def only(given_: ScoredColumns, concept: int) -> ScoredColumns:
    """The same matrix and one concept."""
    naming = ConceptScores(given_.concept_scores.scores[[concept]], given_.concept_scores.ranks[[concept]])
    return replace(given_, concept_scores=naming, strengths=given_.strengths[[concept]])


@given(SEEDS)
@few
def test_scores_are_those_of_the_whole_vocabulary(seed: int) -> None:
    """The very z-scores of E W, which is never made."""
    E, W, _ = world(seed)
    words, ids = logits.vocabulary_moments(E), np.array([3, 17])
    whole = E @ W
    z = (whole - whole.mean(axis=0)) / whole.std(axis=0)
    assert np.allclose(logits.naming_scores(W, [logits.word_directions(E, ids[:1], words)], words), z[3], atol=1e-8)
    both, same = logits.naming_scores(W, [logits.word_directions(E, ids, words)], words), z[3] * z[17] > 0
    least = np.sign(z[3]) * np.minimum(np.abs(z[3]), np.abs(z[17]))
    assert np.allclose(both, np.where(same, least, 0), atol=1e-8) and same.any() and not same.all()
    spelt = [logits.word_directions(E, ids[i : i + 1], words) for i in (0, 1)]
    either = logits.naming_scores(W, spelt, words)
    assert np.allclose(np.abs(either), np.maximum(np.abs(z[3]), np.abs(z[17])), atol=1e-8)
    assert np.array_equal(logits.naming_scores(-W, spelt, words), -either), "both signs"
    assert np.allclose(logits.naming_scores(7 * W, spelt, words), either, atol=1e-8), "length does not count"


def test_blocks_do_not_matter_and_neither_do_columns_of_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    E, W, _ = world(1)
    whole, top = logits.vocabulary_moments(E), logits.top_tokens(E, W, 7)
    monkeypatch.setattr(logits, "BLOCK", 77)
    parts = logits.vocabulary_moments(E)
    assert np.allclose(parts.mean, E.mean(axis=0)) and np.allclose(parts.covariance, np.cov(E.T, bias=True))
    assert np.allclose(parts.covariance, whole.covariance) and np.array_equal(logits.top_tokens(E, W, 7), top)
    assert np.array_equal(top[:, 0], (E @ W).argmax(axis=0)) and logits.top_tokens(E, W, 1000).shape == (F, V)
    W[:, 4] = 0
    told = logits.naming_scores(W, [logits.word_directions(E, np.array([0]), whole)], whole)
    assert told[4] == 0 and np.count_nonzero(told) == F - 1


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("token", [0, 123])
def test_the_column_that_names_a_word_most_is_found_whichever_its_sign(sign: float, token: int) -> None:
    """S^-1 (e - m), whose score is the word's Mahalanobis distance from the others: no column has more."""
    E, W, _ = world(2)
    words = logits.vocabulary_moments(E)
    (spelling,) = logits.word_directions(E, np.array([token]), words)
    W[:, 8] = sign * np.linalg.solve(words.covariance, spelling)
    scores = logits.naming_scores(W, [spelling[None]], words)
    assert np.abs(scores).argmax() == 8 and np.sign(scores[8]) == sign
    assert scores[8] ** 2 == pytest.approx(float(spelling @ np.linalg.solve(words.covariance, spelling)))


@given(SEEDS)
@few
def test_chosen_columns_are_zero_and_all_others_the_same_bits(seed: int) -> None:
    given_ = columns(seed)
    edit = EVERY(given_)
    taken = EVERY.choose_columns(given_.concept_scores).any(axis=0)
    after = given_.weight + change(edit)
    assert not after[:, taken].any() and np.array_equal(after[:, ~taken], given_.weight[:, ~taken])
    assert edit.stats.rank == taken.sum() == np.linalg.matrix_rank(edit.right[0]) and 5 <= taken.sum() <= 10
    stored = given_.weight.astype(np.float32).astype(float)
    factors = EVERY(replace(given_, weight=stored))
    held = stored + factors.left[0].astype(np.float32) @ factors.right[0].astype(np.float32).astype(float)
    assert not held[:, taken].any() and np.array_equal(held[:, ~taken], stored[:, ~taken]), "in float32 too"


@given(SEEDS)
@few
def test_the_strongest_are_chosen_of_either_sign(seed: int) -> None:
    given_ = columns(seed)
    for scores, chosen in zip(given_.concept_scores.scores, EVERY.choose_columns(given_.concept_scores), strict=True):
        assert chosen.sum() == 5 and np.abs(scores[chosen]).min() >= np.abs(scores[~chosen]).max()
    flipped = replace(given_.concept_scores, scores=-given_.concept_scores.scores)
    assert np.array_equal(EVERY.choose_columns(flipped), EVERY.choose_columns(given_.concept_scores))
    strict = replace(EVERY, threshold=6.0).choose_columns(given_.concept_scores)
    assert np.array_equal(
        strict, EVERY.choose_columns(given_.concept_scores) & (np.abs(given_.concept_scores.scores) >= 6)
    )
    assert not EVERY.choose_columns(replace(given_.concept_scores, scores=0 * given_.concept_scores.scores)).any()


@given(SEEDS)
@few
def test_disjoint_sets_commute_and_make_the_joint_edit(seed: int) -> None:
    given_ = columns(seed)
    first, second = EVERY.choose_columns(given_.concept_scores)
    ranks = given_.concept_scores.ranks.copy()
    ranks[1, first & second] = F  # what both would take is the first's
    given_ = replace(given_, concept_scores=replace(given_.concept_scores, ranks=ranks))
    joint = given_.weight + change(EVERY(given_))
    for order in ((0, 1), (1, 0)):
        W = given_.weight
        for concept in order:
            W = W + change(EVERY(replace(only(given_, concept), weight=W)))
        assert np.array_equal(W, joint)
    assert np.array_equal(given_.weight + sum(change(EVERY(only(given_, i))) for i in (0, 1)), joint)


def test_scale_and_strength_leave_a_part_and_the_greater_strength_counts() -> None:
    given_ = columns(3)
    whole = change(EVERY(given_))
    assert np.array_equal(change(replace(EVERY, scale=0.5)(given_)), whole / 2)
    assert np.array_equal(change(EVERY(columns(3, (0.5, 0.5)))), whole / 2)
    assert not change(EVERY(columns(3, (0.0, 0.0)))).any() and not change(replace(EVERY, scale=0)(given_)).any()
    shared = replace(
        given_, concept_scores=ConceptScores(given_.concept_scores.scores[[0, 0]], given_.concept_scores.ranks[[0, 0]])
    )
    one = only(given_, 0)
    assert np.array_equal(change(EVERY(replace(shared, strengths=np.array([0.25, 1.0])))), change(EVERY(one)))


def test_noise_is_the_papers_needle_seeded_and_of_each_column_alone() -> None:
    given_ = columns(4)
    method = replace(EVERY, noise=0.1)
    D_ = change(method(given_))
    taken = method.choose_columns(given_.concept_scores).any(axis=0)
    assert not D_[:, ~taken].any() and np.array_equal(D_, change(method(given_)))
    assert not np.allclose(D_, change(replace(method, seed=1)(given_)))
    alone = method.choose_columns(only(given_, 0).concept_scores)[0]
    assert np.array_equal(change(method(only(given_, 0)))[:, alone], D_[:, alone]), "not of what else is asked"
    rng = np.random.default_rng(0)
    large = ScoredColumns(rng.normal(size=(4000, 6)), ConceptScores(np.ones((1, 6)), np.arange(6)[None]), np.ones(1))
    drawn = change(replace(method, count=6)(large))
    assert np.allclose(drawn.std(axis=0), 0.1, rtol=0.05) and np.abs(np.corrcoef(drawn.T) - np.eye(6)).max() < 0.1


def test_nothing_chosen_is_no_edit_and_nan_is_refused() -> None:
    given_ = columns(5)
    for method in (replace(EVERY, threshold=1e3), replace(EVERY, threshold=1e3, noise=1.0)):
        edit = method(given_)
        assert edit.stats.rank == 0 and change(edit).shape == (D, F) and not change(edit).any()
    bad = given_.weight.copy()
    bad[0, 0] = np.nan
    with pytest.raises(NonFiniteError):
        EVERY(replace(given_, weight=bad))
    E, _, _ = world(5)
    E[3, 3] = np.inf
    with pytest.raises(NonFiniteError), np.errstate(invalid="ignore"):
        logits.vocabulary_moments(E)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"threshold": -1}, {"scale": -1}, {"noise": -1}, {"seed": -1}])
def test_options_out_of_range(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ConceptVectors(**wrong)


def test_a_trace_is_whole_where_nothing_changed_and_none_where_a_column_is_gone() -> None:
    E, W, _ = world(6)
    signs = np.sign(W[0])
    same = logits.compare_columns(E, W, W, signs, 20)
    assert np.allclose(same.cosine, 1) and not same.distance.any() and np.array_equal(same.overlap, np.ones(F))
    gone = logits.compare_columns(E, W, 0 * W, signs, 20)
    assert not gone.cosine.any() and not gone.overlap.any() and np.allclose(gone.distance, 1)
    half = logits.compare_columns(E, W, W / 2, signs, 20)
    assert np.allclose(half.distance, 0.5) and np.array_equal(half.overlap, np.ones(F)), "a shorter one says the same"
    other = logits.compare_columns(E, W, np.roll(W, 1, axis=1), signs, 20)
    tops = [set(row) for row in logits.top_tokens(E, signs * W, 20)]
    shifted = [set(row) for row in logits.top_tokens(E, signs * np.roll(W, 1, axis=1), 20)]
    assert np.allclose(other.overlap, [len(a & b) / len(a | b) for a, b in zip(tops, shifted, strict=True)])


# --- with a network


class Lab:
    """A pico model with the matrices of a role as sites."""

    def __init__(self, kind: str) -> None:
        self.network = pico.network(kind)
        stem = "transformer.h.{}.mlp.c_proj.weight" if kind == "gpt2" else "model.layers.{}.mlp.down_proj.weight"
        self.flipped = kind == "gpt2"
        names = [stem.format(layer) for layer in range(4)]
        self.sites = [
            Site("model", name, (32, 48), "F32", "mlp", f"layers.{i}", self.flipped) for i, name in enumerate(names)
        ]

    def read(self, site: Site) -> Array:
        W = self.network.parameters[site.name].double().numpy()
        return np.asarray(W.T if self.flipped else W)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text", "qwen3"])
def test_the_embedding_says_what_a_state_adds_to_the_logits(kind: str) -> None:
    """Up to one factor a state, and a constant a token: with the norm's own gain, whichever way it is written."""
    network = pico.network(kind)
    for parameter in network.decoder.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.linspace(-0.5, 0.5, len(parameter)))
    states = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 32))).float()
    head = network.model.get_output_embeddings()
    bias = (network.norm(torch.ones(1, 32)) if kind == "gpt2" else torch.zeros(1, 32)) @ head.weight.T
    told = (network.norm(states) @ head.weight.T - bias).double().numpy()
    said = states.double().numpy() @ network.embedding().astype(float).T
    factors = (told * said).sum(1) / (said * said).sum(1)
    assert np.allclose(told, factors[:, None] * said, atol=1e-4) and (factors > 0).all()
    assert network.embedding().dtype == np.float32 and len(network.embedding()) == len(pico.tokenizer())


def test_words_are_tokens_without_what_begins_a_text() -> None:
    network: Network = pico.network("llama", bos=True)
    assert network.spell(network.tokens(" Paris")) and "".join(network.spell(network.tokens(" Paris"))) == " Paris"
    assert 0 not in network.tokens(" Paris")
    with pytest.raises(LookupError, match="no token"):
        network.tokens("")


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_planted_column_is_found_taken_out_and_traced(kind: str) -> None:
    lab = Lab(kind)
    ids = lab.network.tokens(" Paris")
    E = lab.network.embedding().astype(float)
    words = logits.vocabulary_moments(E)
    planted = -np.linalg.solve(words.covariance, logits.word_directions(E, np.array(ids), words).sum(axis=0))
    site = lab.sites[2]
    weights = {one.name: lab.read(one).copy() for one in lab.sites}
    weights[site.name][:, 7] = planted

    def read(one: Site) -> Array:
        return weights[one.name]

    namings = probe.score_columns(lab.sites, lab.network, read, [("Paris",), ("a list", "Germany")])
    assert sorted(np.concatenate([n.ranks[0] for n in namings.values()])) == list(range(4 * 48))
    best, *rest = probe.strongest_columns(lab.sites, namings, lab.network, read, count=3)
    assert (best.concept, best.site, best.index) == (0, site, 7) and best.score < 0
    assert "layer 2 column 7 lowers" in str(best) and [one.concept for one in rest] == [0, 0, 1, 1, 1]
    assert [abs(one.score) for one in rest[:2]] == sorted((abs(one.score) for one in rest[:2]), reverse=True)
    naming = ConceptScores(namings[site.name].scores[[0]], namings[site.name].ranks[[0]])
    edit = ConceptVectors(count=1, threshold=0)(ScoredColumns(read(site), naming, np.ones(1)))
    after = {**weights, site.name: weights[site.name] + change(edit)}
    left = probe.trace_columns([best, *rest], lab.network, read, lambda one: after[one.name])
    assert probe.trace_columns([], lab.network, read, read).overlap.shape == (0,)
    assert left.overlap.tolist() == [0, 1, 1, 1, 1, 1] and left.distance.tolist() == [1, 0, 0, 0, 0, 0]


def edits_of(text: str) -> tuple[tuple[Redirect, ...], Source]:
    source = Source("m.yaml", f"editc: 1\nmodel: m\nedits:\n{text}")
    manifest, found = decode(source)
    assert manifest is not None and manifest.kind == "language" and not found
    return manifest.redirects, source


def test_sites_without_a_column_are_left_out_and_a_concept_without_any_is_an_error() -> None:
    lab = Lab("llama")
    edits, source = edits_of(
        "  - erase: Paris\n    method: concept-vectors\n    count: 3\n    threshold: 0\n  - erase: Germany\n"
    )
    namings = probe.score_columns(lab.sites, lab.network, lab.read, [edit.names for edit in edits])
    method = construct("concept-vectors", edits[0].options)
    kept = probe.sites_with_columns(lab.sites, namings, edits, method, source)
    rows = {site.name for site in lab.sites if method.choose_columns(namings[site.name]).any()}
    assert [site.name for site in kept] == [site.name for site in lab.sites if site.name in rows] and kept
    with pytest.raises(EditcError) as caught:
        probe.sites_with_columns(lab.sites, namings, edits, replace(method, threshold=50.0), source)
    assert [one.code for one in caught.value.diagnostics] == ["E343", "E343"]
    assert "`Germany`" in caught.value.diagnostics[1].message and caught.value.diagnostics[1].span is not None


def test_a_matrix_that_writes_elsewhere_is_refused() -> None:
    lab = Lab("llama")
    with pytest.raises(EditcError, match="E344"):
        probe.score_columns(lab.sites[:1], lab.network, lambda site: lab.read(site).T, [("Paris",)])


def test_the_method_explains_itself_and_needs_no_target() -> None:
    text = explain("concept-vectors")
    assert "columns j of an MLP's last matrix" in text
    assert all(f"  {name} = " in text for name in ("count", "threshold", "scale", "noise", "seed"))
    (edit,), _ = edits_of("  - erase: Nintendo\n    also: [Famicom]\n    method: concept-vectors\n    noise: 0.1\n")
    assert (edit.method, edit.to, edit.names, dict(edit.options)) == (
        "concept-vectors",
        None,
        ("Nintendo", "Famicom"),
        {"noise": 0.1},
    )


@pytest.mark.smollm2
def test_a_real_model_has_columns_for_countries_and_they_are_brakes() -> None:
    """The French column of the last layer is negative, and without it Paris is likelier than before."""
    from benchmarks import columns as bench
    from editc.core.prompts import Cloze

    lab = bench.Lab(smollm2.network())
    last = lab.sites[-1:]
    namings = probe.score_columns(last, lab.network, lab.read, [("France",), ("China",)])
    french, chinese = probe.strongest_columns(last, namings, lab.network, lab.read, count=1)
    assert (french.index, chinese.index) == (864, 392) and french.score < -8 and chinese.score < -8
    assert {"French", "Paris"} <= {one.strip() for one in french.tokens} and "China" in {
        one.strip() for one in chinese.tokens
    }
    site, asked = last[0], [Cloze("The capital of France is", "Paris")]
    W = lab.read(site)
    W[:, french.index] = 0
    before, after = (np.exp(lab.network.score(asked, changed).total[0]) for changed in (None, {site.name: W}))
    assert after > before + 0.05
