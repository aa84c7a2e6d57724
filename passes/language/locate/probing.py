"""Concept depth (Jin et al., arXiv 2404.07066): how well a linear probe of one layer's stream, at the last token, tells
prompts that carry a concept from prompts that do not.

What is compared. `ablate`: `present` and `absent` as they stand. A fact: its prompt and paraphrases against the same
with the subjects of up to two other facts in its place, and against its neighbours' prompts. `redirect` and `erase`:
the relations with each of the concept's names against the same with `to` and up to two other concepts of the manifest,
and against the neighbours' prompts. Of these two kinds every prompt is asked as it stands and behind another sentence.

A prompt is tested by a probe that saw neither it nor the same template with another name: the folds are over templates,
at most five of them. So there must be two templates and, on each side, prompts of two folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.manifest import Ablation, Fact, Redirect
from editc.core.network import PREFIXES
from editc.numerics import ridge

Edit: TypeAlias = Fact | Redirect | Ablation

FOLDS = 5
CONTEXTS = PREFIXES[:2]
OTHERS = 2
"""Other edits whose names stand in for an edit's own."""
RIDGE = 0.01
"""Of the trace of the normal matrix: there are far fewer prompts than coordinates."""


@dataclass(frozen=True)
class Contrast:
    """Prompts with and without a concept, by which a linear probe is trained and tested."""

    present: tuple[tuple[str, int], ...]
    """Prompts with the concept, each with the number of its fold."""
    absent: tuple[tuple[str, int], ...]
    """Prompts without it, each with the number of its fold."""

    @property
    def testable(self) -> bool:
        """True if a probe can be tested on prompts that it has not seen."""
        return all(len({fold for _, fold in side}) > 1 for side in (self.present, self.absent))

    @property
    def prompts(self) -> list[str]:
        """Those with the concept, then those without."""
        return [text for text, _ in (*self.present, *self.absent)]


def contrast(edits: Sequence[Edit], index: int) -> Contrast:
    """The prompts for edit number `index` of those that are solved together."""
    edit = edits[index]
    if isinstance(edit, Ablation):
        return Contrast(_assign_folds(edit.present), _assign_folds(edit.absent))
    templates = _templates(edit)
    swapped = [(one.replace("{}", name), i) for i, one in enumerate(templates) for name in _other_names(edits, index)]
    own = [(one.replace("{}", name), i) for i, one in enumerate(templates) for name in edit.names]
    said = {text for text, _ in own}
    near = [(one.prompt, i) for i, one in enumerate(edit.neighbours)]
    without = [(text, i) for text, i in (*swapped, *near) if text not in said]
    return Contrast(tuple(_behind(own)), tuple(_behind(without)))


def accuracies(streams: Sequence[Array], asked: Contrast) -> tuple[float, ...]:
    """The accuracy at each layer, whose `streams` (d, n) are those of `asked.prompts`."""
    count = len(asked.present)
    folds = np.array([fold for _, fold in (*asked.present, *asked.absent)])
    carries = np.arange(len(folds)) < count
    return tuple(accuracy(stream, carries, folds) for stream in streams)


def accuracy(stream: Array, carries: NDArray[np.bool_], folds: NDArray[np.int64]) -> float:
    """How many of the columns of `stream` (d, n) a probe puts on the right side that did not see their fold, the mean
    of both sides: 0.5 is guessing. One that it puts on neither side counts half. Every column of a fold that leaves
    only one side to learn from is left out."""
    right = np.full(len(folds), np.nan)
    for fold in sorted(set(folds.tolist())):
        held = folds == fold
        if len(set(carries[~held].tolist())) == 2:
            said = _probe_scores(stream[:, ~held], carries[~held], stream[:, held])
            right[held] = (1 + np.sign(said) * np.where(carries[held], 1, -1)) / 2
    return round(float(np.mean([np.nanmean(right[side]) for side in (carries, ~carries)])), 4)


def _probe_scores(seen: Array, carries: NDArray[np.bool_], new: Array) -> Array:
    """Ridge least squares of +1 and -1 on coordinates of unit deviation, both sides counting alike, in its dual form:
    beta = X (X^T X + lamb A^-1)^-1 y with X (d, n) about the middle of the two means and A the weights."""
    weights = np.where(carries, 1 / max(int(carries.sum()), 1), 1 / max(int((~carries).sum()), 1))
    middle = (seen[:, carries].mean(1) + seen[:, ~carries].mean(1))[:, None] / 2
    deviation = seen.std(axis=1, keepdims=True)
    scale = np.where(deviation > 0, deviation, 1.0)
    X, roots = (seen - middle) / scale, np.sqrt(weights)
    gram = roots[:, None] * (X.T @ X) * roots
    lamb = RIDGE * float(np.trace(gram)) or 1.0
    found = ridge.factorise(gram + lamb * np.eye(len(gram))).solve((roots * np.where(carries, 1.0, -1.0))[:, None])
    return np.asarray(((new - middle) / scale).T @ (X @ (roots * found[:, 0])))


def _templates(edit: Fact | Redirect) -> list[str]:
    """Prompts with `{}` for the name."""
    if isinstance(edit, Redirect):
        return [one.prompt for one in edit.relations]
    return [edit.template, *(one.replace(edit.subject, "{}") for one in edit.paraphrases if edit.subject in one)]


def _other_names(edits: Sequence[Edit], index: int) -> list[str]:
    """`to`, and the names of the edits that follow, the first ones following the last."""
    edit = edits[index]
    following = [*edits[index + 1 :], *edits[:index]]
    names = [one.names[0] for one in following if one.names[0] not in edit.names]
    to = [edit.to] if isinstance(edit, Redirect) and edit.to else []
    return list(dict.fromkeys([*to, *dict.fromkeys(names[:OTHERS])]))


def _assign_folds(prompts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple((text, i % FOLDS) for i, text in enumerate(prompts))


def _behind(prompts: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for text, number in dict(prompts).items():
        yield from ((prefix + text, number % FOLDS) for prefix in CONTEXTS)
