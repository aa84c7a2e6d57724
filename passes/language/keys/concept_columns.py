"""Find the columns of a language model's matrices that name a concept, from its weights and vocabulary alone, without
running it. The method `concept-vectors` removes these columns; they also show what any edit left of a concept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array, Site
from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.language_edits import Redirect
from editc.core.language_problem import ConceptScores
from editc.core.network import Network
from editc.core.places import Source
from editc.numerics import logits
from editc.passes.sites import layer_of

ReadWeight: TypeAlias = Callable[[Site], Array]
"""Reads the matrix W (d_out, d_in) of a site, float64, such as `partial(read_weight, weights)`."""


class ColumnChooser(Protocol):
    """The part of a method for columns that this module uses."""

    @property
    def threshold(self) -> float:
        """The least |score| of a column that the method removes."""

    def choose_columns(self, naming: ConceptScores) -> NDArray[np.bool_]:
        """Which columns are removed for each of c concepts, (c, d_in)."""


@dataclass(frozen=True)
class ConceptColumn:
    """A column of a matrix that names a concept."""

    concept: int
    """The number of the concept, from 0."""
    site: Site
    """The matrix."""
    index: int
    """The number of the column in W (d_out, d_in)."""
    score: float
    """How strongly it names the concept, in standard deviations over the vocabulary; negative if it lowers the logits
    of the concept's words."""
    tokens: tuple[str, ...]
    """The tokens whose logits it raises most, or lowers most if its score is negative; the strongest first."""

    def __str__(self) -> str:
        way = "raises" if self.score > 0 else "lowers"
        where = f"layer {layer_of(self.site.name)} column {self.index}"
        return f"{where} {way} {', '.join(repr(one.strip()) for one in self.tokens)} (score {self.score:+.1f})"


def score_columns(
    sites: Sequence[Site], network: Network, weights: ReadWeight, concepts: Sequence[Sequence[str]]
) -> Mapping[str, ConceptScores]:
    """Score how strongly each column of each site names each concept; returns site name -> scores and ranks, (c, d_in).

    `concepts`: the names of each concept. Each name is scored with a space before it and without one.

    Raises E344 for a matrix that does not write to the residual stream, LookupError for a name without tokens.
    """
    embedding = network.embedding()
    words = logits.vocabulary_moments(embedding)
    spellings = [_spelling_vectors(network, embedding, words, names) for names in concepts]
    found = []
    for site in sites:
        W = _check_width(site, weights(site), embedding.shape[1])
        found.append(
            np.array([logits.naming_scores(W, one, words) for one in spellings]).reshape(len(concepts), W.shape[1])
        )
    return {site.name: naming for site, naming in zip(sites, _rank_scores(found), strict=True)}


def sites_with_columns(
    sites: Sequence[Site],
    concept_scores: Mapping[str, ConceptScores],
    edits: Sequence[Redirect],
    method: ColumnChooser,
    source: Source,
) -> tuple[Site, ...]:
    """The sites in which the method removes a column, in their given order. Raises E343 for each concept that no column
    names."""
    each = [method.choose_columns(concept_scores[site.name]) for site in sites]
    wrong = []
    for i, edit in enumerate(edits):
        if not any(taken[i].any() for taken in each):
            most = max((float(np.abs(concept_scores[site.name].scores[i]).max()) for site in sites), default=0.0)
            least = f"`threshold` is {method.threshold:g}"
            message = f"no column names `{edit.concept}`: the strongest scores {most:.1f}, and {least}"
            help = "lower `threshold`, take more layers, or write `method: rocr`, which needs no such column"
            wrong.append(Diagnostic("E343", message, edit.at("concept"), source, help=help))
    if wrong:
        raise EditcError(*wrong)
    return tuple(site for site, taken in zip(sites, each, strict=True) if taken.any())


def strongest_columns(
    sites: Sequence[Site],
    concept_scores: Mapping[str, ConceptScores],
    network: Network,
    weights: ReadWeight,
    count: int = 10,
    tokens: int = 6,
) -> tuple[ConceptColumn, ...]:
    """The `count` columns with the largest |score| of each concept, concept by concept, the strongest first.

    `tokens`: how many tokens to record for each, those that it raises most (lowers most, if its score is negative).
    """
    best = []
    for site in sites:
        naming = concept_scores[site.name]
        for concept, index in np.argwhere(naming.ranks < count).tolist():
            one = ConceptColumn(concept, site, index, float(naming.scores[concept, index]), ())
            best.append((concept, int(naming.ranks[concept, index]), one))
    listed = [one for _, _, one in sorted(best, key=lambda each: each[:2])]
    if not listed:
        return ()
    columns = _read_columns([(one.site, one.index) for one in listed], weights) * np.sign([one.score for one in listed])
    ids = logits.top_tokens(network.embedding(), columns, tokens)
    return tuple(replace(one, tokens=network.spell(own.tolist())) for one, own in zip(listed, ids, strict=True))


def trace_columns(
    columns: Sequence[ConceptColumn], network: Network, before: ReadWeight, after: ReadWeight
) -> logits.Trace:
    """Compare these columns before and after an edit by any method: see `numerics.logits.Trace`. Empty arrays if there
    are no columns."""
    if not columns:
        return logits.Trace(*np.zeros((3, 0)))
    places = [(one.site, one.index) for one in columns]
    signs = np.sign([one.score for one in columns])
    return logits.compare_columns(
        network.embedding(), _read_columns(places, before), _read_columns(places, after), signs
    )


def _spelling_vectors(
    network: Network, embedding: NDArray[np.float32], words: logits.VocabularyMoments, names: Sequence[str]
) -> list[Array]:
    """What `logits.word_directions` makes of each spelling of a concept: every name with a space before it and without
    one.

    `embedding`: the output embedding (v, d).
    """
    ids = dict.fromkeys(network.tokens(text) for name in names for text in (name, f" {name}"))
    return [logits.word_directions(embedding, np.array(one), words) for one in ids]


def _check_width(site: Site, W: Array, width: int) -> Array:
    """W (d_out, d_in) itself; raises E344 unless d_out is the width of the residual stream."""
    if len(W) == width:
        return W
    message = f"`{site.name}` writes {len(W)} numbers, and the output embedding reads {width}"
    raise fail("E344", message, place=site.name, help="leave `sites: {roles: ...}` out, or take another method: `rocr`")


def _rank_scores(scores: Sequence[Array]) -> Sequence[ConceptScores]:
    """Rank the scores (c, d_in) of each matrix among those of all matrices; rank 0 has the largest |score|. Equal
    scores rank in the order of sites and columns."""
    if not scores:
        return ()
    cuts = np.cumsum([one.shape[1] for one in scores])[:-1]
    order = np.argsort(-np.abs(np.concatenate(scores, axis=1)), axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(order.shape[1])[None], axis=1)
    return [ConceptScores(*pair) for pair in zip(scores, np.split(ranks, cuts, axis=1), strict=True)]


def _read_columns(places: Sequence[tuple[Site, int]], weights: ReadWeight) -> Array:
    """The columns (d, n) at `places`, each a site and a column's number. Each matrix is read once."""
    indices: dict[Site, list[int]] = {}
    for at, (site, _) in enumerate(places):
        indices.setdefault(site, []).append(at)
    found: dict[int, Array] = {}
    for site, own in indices.items():
        W = weights(site)
        found |= {at: W[:, places[at][1]].copy() for at in own}
    return np.stack([found[at] for at in range(len(places))], axis=1)
