"""Concept depth (Jin et al., arXiv 2404.07066): how well a linear probe tells prompts with a concept from prompts
without it, by the residual stream after one layer at the prompt's last token.

The prompts that are compared, with the concept and without it:

* `ablate`: `present` and `absent`.
* `fact`: its prompt and paraphrases; the same with the subjects of up to two other facts, and its neighbours' prompts.
* `redirect`, `erase`: the relations with each of the concept's names; the same with `to` and up to two other concepts
  of the manifest, and the neighbours' prompts.

Prompts of the last two are read as they stand and also behind another sentence. A probe is tested on prompts that it
was not trained on, nor on the same template with another name: the folds are over templates, at most five. So a test
needs two templates and, on each side, prompts of two folds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.language_edits import Ablation, Fact, LanguageEdit, OnRows, Redirect
from editc.core.prompts import PREFIXES
from editc.numerics import ridge

FOLDS = 5
"""The most folds of the cross-validation: the usual number."""
PROBE_PREFIXES = PREFIXES[:2]
"""What each prompt is put behind: nothing, and one sentence."""
MOST_STAND_INS = 2
"""The most other edits whose names are put in place of an edit's own. Chosen by hand."""
RIDGE = 0.01
"""The ridge of the probe, as a share of the trace of its normal matrix. It needs one, because there are far fewer
prompts than coordinates. Chosen by hand."""


@dataclass(frozen=True)
class ProbePrompts:
    """Prompts with and without a concept, on which a linear probe is trained and tested."""

    present: tuple[tuple[str, int], ...]
    """Prompts with the concept, each with the number of its fold."""
    absent: tuple[tuple[str, int], ...]
    """Prompts without it, each with the number of its fold."""

    @property
    def testable(self) -> bool:
        """True if a probe can be tested on prompts that it was not trained on."""
        return all(len({fold for _, fold in side}) > 1 for side in (self.present, self.absent))

    @property
    def prompts(self) -> list[str]:
        """The prompts with the concept, then those without it."""
        return [text for text, _ in (*self.present, *self.absent)]


def prompts_for_probe(edits: Sequence[LanguageEdit], index: int) -> ProbePrompts:
    """The prompts with and without the concept of edit number `index` of one stage's edits."""
    edit = edits[index]
    if isinstance(edit, Ablation):
        return ProbePrompts(_assign_folds(edit.present), _assign_folds(edit.absent))
    assert not isinstance(edit, OnRows)  # what is trained is not probed
    templates = _templates(edit)
    swapped = [(one.replace("{}", name), i) for i, one in enumerate(templates) for name in _other_names(edits, index)]
    own = [(one.replace("{}", name), i) for i, one in enumerate(templates) for name in edit.names]
    with_concept = {text for text, _ in own}
    near = [(one.prompt, i) for i, one in enumerate(edit.neighbours)]
    without = [(text, i) for text, i in (*swapped, *near) if text not in with_concept]
    return ProbePrompts(tuple(_put_behind_prefixes(own)), tuple(_put_behind_prefixes(without)))


def layer_accuracies(streams: Sequence[Array], probed: ProbePrompts) -> tuple[float, ...]:
    """The accuracy of a probe at each layer. `streams`: for each layer the residual stream (d, n) at the n prompts of
    `probed.prompts`."""
    count = len(probed.present)
    folds = np.array([fold for _, fold in (*probed.present, *probed.absent)])
    carries = np.arange(len(folds)) < count
    return tuple(probe_accuracy(stream, carries, folds) for stream in streams)


def probe_accuracy(stream: Array, carries: NDArray[np.bool_], folds: NDArray[np.int64]) -> float:
    """The share of the columns of `stream` (d, n) that a probe classifies correctly, the mean of both classes: 0.5 is
    guessing. The probe for each column is trained without the column's fold.

    `carries` (n,): True for prompts with the concept. `folds` (n,): the number of each prompt's fold. A column with a
    score of exactly 0 counts half. A fold without which only one class remains is left out.
    """
    right = np.full(len(folds), np.nan)
    for fold in sorted(set(folds.tolist())):
        tested = folds == fold
        if len(set(carries[~tested].tolist())) == 2:
            scores = probe_scores(stream[:, ~tested], carries[~tested], stream[:, tested])
            right[tested] = (1 + np.sign(scores) * np.where(carries[tested], 1, -1)) / 2
    return round(float(np.mean([np.nanmean(right[side]) for side in (carries, ~carries)])), 4)


def probe_scores(train: Array, carries: NDArray[np.bool_], new: Array) -> Array:
    """Train a probe on the columns of `train` (d, n) and score those of `new` (d, m): (m,), positive with the concept.

    The probe is ridge least squares of the labels +1 and -1 on coordinates of unit deviation, both classes with equal
    weight, in its dual form: beta = X (X^T X + lamb A^-1)^-1 y, X (d, n) the columns less the middle of the two class
    means, A the weights.
    """
    weights = np.where(carries, 1 / max(int(carries.sum()), 1), 1 / max(int((~carries).sum()), 1))
    middle = (train[:, carries].mean(1) + train[:, ~carries].mean(1))[:, None] / 2
    deviation = train.std(axis=1, keepdims=True)
    scale = np.where(deviation > 0, deviation, 1.0)
    X, roots = (train - middle) / scale, np.sqrt(weights)
    gram = roots[:, None] * (X.T @ X) * roots
    lamb = RIDGE * float(np.trace(gram)) or 1.0
    found = ridge.factorise(gram + lamb * np.eye(len(gram))).solve((roots * np.where(carries, 1.0, -1.0))[:, None])
    return np.asarray(((new - middle) / scale).T @ (X @ (roots * found[:, 0])))


def _templates(edit: Fact | Redirect) -> list[str]:
    """The prompts about the edited name, with `{}` in its place."""
    if isinstance(edit, Redirect):
        return [one.prompt for one in edit.relations]
    return [edit.template, *(one.replace(edit.subject, "{}") for one in edit.paraphrases if edit.subject in one)]


def _other_names(edits: Sequence[LanguageEdit], index: int) -> list[str]:
    """The names to put in place of an edit's own: `to`, and the names of the next edits, where the first edit comes
    after the last."""
    edit = edits[index]
    following = [*edits[index + 1 :], *edits[:index]]
    names = [one.names[0] for one in following if one.names[0] not in edit.names]
    to = [edit.to] if isinstance(edit, Redirect) and edit.to else []
    return list(dict.fromkeys([*to, *dict.fromkeys(names[:MOST_STAND_INS])]))


def _assign_folds(prompts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Each prompt with the number of its fold, in turn."""
    return tuple((text, i % FOLDS) for i, text in enumerate(prompts))


def _put_behind_prefixes(prompts: Sequence[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Each prompt once behind each of PROBE_PREFIXES, with its fold, which is that of its template."""
    for text, number in dict(prompts).items():
        yield from ((prefix + text, number % FOLDS) for prefix in PROBE_PREFIXES)
