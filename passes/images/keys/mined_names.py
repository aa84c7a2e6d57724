"""Mining: finding other names of a concept among the words of a corpus, by how the text encoder reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from editc.core.delta import Array
from editc.core.manifest import Manifest, Request
from editc.core.ports import Encoder
from editc.core.text import mentions
from editc.passes.images.rows.phrases import fill_context, rows_after

SLACK = 0.05
"""A phrase must score this much more than each of its words, else the word alone is the name: `disc` in `purple disc`.
Chosen by hand."""
COMPOUND = 3
"""A word that occurs at least three times, always before the same word, is half of a name: `love` of `love symbol`.
Chosen by hand."""
ALIKE = 0.9
"""A candidate with this score or more is another name of the concept. On the demo model the other names of its 21
objects score 0.94 or more, and other words at most 0.82."""
_SMALL_WORDS = """
a an the this that these those some any no of on in at by to from with without over under into near beside behind
between before after and or but as for is are was were be been it its his her their very
"""
FUNCTION_WORDS = frozenset(_SMALL_WORDS.split())
"""English words that are no part of a name. Chosen by hand."""


@dataclass(frozen=True)
class Neighbour:
    """Another name of a concept, found in a corpus."""

    name: str
    """Lower case."""
    score: float
    """Its likeness to the concept as the encoder reads both: a cosine, 1 for the same."""


def candidates(prompts: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct words of `prompts`, then their two-word phrases, in lower case, each in order of appearance.

    Function words are left out, and so are phrases that contain one or run across a punctuation mark. A word that only
    ever begins one and the same phrase is left out in favour of the phrase.
    """
    runs = [run for prompt in prompts for run in _runs(prompt)]
    words = Counter(word for run in runs for word in run)
    pairs = Counter(pair for run in runs for pair in pairwise(run))
    bound = {first for (first, _), count in pairs.items() if count >= COMPOUND and count == words[first]}
    phrases = [" ".join(pair) for pair in pairs if pair[1] not in bound]
    return (*(word for word in words if word not in bound), *phrases)


def neighbours(
    encoder: Encoder, concept: str, candidates: Sequence[str], contexts: Sequence[str], most: int
) -> tuple[Neighbour, ...]:
    """Return the `most` candidates that the encoder reads most like `concept`, best first, ties in the order of names.

    A name's signal in a context is the mean of the rows after the text (end of text and padding, which have seen the
    whole prompt), minus the mean of that over all candidates. The score is the cosine between the signals of two names,
    over all contexts together. The mean is taken over the candidates, so give some dozens or more.

    A phrase is left out if it contains the concept, or a word that scores as well as the phrase.
    """
    names = list(dict.fromkeys([concept, *(name for name in candidates if name.casefold() != concept.casefold())]))
    dots, sizes = np.zeros(len(names)), np.zeros(len(names))
    for context in contexts:
        signals = np.array(list(_signals(encoder, context, names)))
        signals -= signals.mean(axis=0)
        dots += signals @ signals[0]
        sizes += np.sum(signals**2, axis=1)
    whole = np.sqrt(sizes * sizes[0])
    scores = dict(zip(names, np.divide(dots, whole, out=np.zeros_like(dots), where=whole > 0).tolist(), strict=True))
    ranked = sorted(scores, key=lambda name: (-scores[name], name))
    other = (name for name in ranked if not mentions(name, concept) and not _is_outscored(name, scores))
    return tuple(Neighbour(name, scores[name]) for name, _ in zip(other, range(most), strict=False))


def add_mined_names(
    manifest: Manifest, encoder: Encoder, prompts: Sequence[str], contexts: Sequence[str], most: int, alike: float
) -> Manifest:
    """Add names mined from `prompts` to `also` of every edit except `moderate` and those with `from`.

    A name is added if it scores `alike` or more, to the edit with the nearer concept where two want it. At most `most`
    names are looked at for each concept. Names that the manifest uses otherwise (targets, names of other edits, what is
    preserved) are left alone. The tokenizer's vocabulary is not searched: most of it is pieces of words, and names that
    no prompt uses do not help.
    """
    used = [name for request in manifest.image_edits for name in _names_of(request)] + list(manifest.preserve.concepts)
    preserved = [*manifest.preserve.concepts, *manifest.preserve.prompts]
    free = [name for name in candidates(prompts) if name not in {one.casefold() for one in used}]
    free = [name for name in free if not any(mentions(prompt, name) for prompt in preserved)]
    found = {
        request.concept: [
            one for one in neighbours(encoder, request.concept, free, contexts, most) if one.score >= alike
        ]
        for request in manifest.image_edits
        if request.kind != "moderate" and request.attribute is None
    }
    best = {one.name: max(_scores_of(found, one.name)) for names in found.values() for one in names}
    return replace(manifest, edits=tuple(_add_names(request, found, best) for request in manifest.image_edits))


def _names_of(request: Request) -> tuple[str, ...]:
    """Return every name in an edit: its concept, the other names, and its targets."""
    return (*request.names, request.to or "", *(name for name, _ in request.toward))


def _scores_of(found: Mapping[str, Sequence[Neighbour]], name: str) -> Iterator[tuple[float, str]]:
    """Yield the score and the concept of each edit that found the name."""
    return ((one.score, concept) for concept, names in found.items() for one in names if one.name == name)


def _add_names(
    request: Request, found: Mapping[str, Sequence[Neighbour]], best: Mapping[str, tuple[float, str]]
) -> Request:
    """Add the mined names that are nearest to this request's concept.

    `scale` is shared by all names of a request, so it grows with their number: mined names take no weight from the
    names that were given.
    """
    mined = [one.name for one in found.get(request.concept, ()) if best[one.name][1] == request.concept]
    scale = request.scale * (1 + len(mined) / len(request.names))
    return replace(request, also=(*request.also, *mined), scale=scale)


def _signals(encoder: Encoder, context: str, names: Sequence[str], batch: int = 256) -> Iterator[Array]:
    """Yield the mean row (d,) after the text for each name in a context, encoding `batch` prompts at a time."""
    for start in range(0, len(names), batch):
        for encoded in encoder.encode([fill_context(context, name) for name in names[start : start + batch]]):
            yield np.asarray(rows_after(encoded).mean(axis=0))


def _is_outscored(name: str, scores: dict[str, float]) -> bool:
    """Return whether a word of a phrase scores as well as the phrase, up to SLACK."""
    words = name.split()
    return len(words) > 1 and any(scores.get(word, -1.0) >= scores[name] - SLACK for word in words)


def _runs(prompt: str) -> Iterator[list[str]]:
    """Yield stretches of words, in lower case, with no punctuation mark or function word inside."""
    marked = "".join(c if c.isalnum() or c in "'-" or c.isspace() else " , " for c in prompt.lower())
    run: list[str] = []
    for word in (part.strip("'-") for part in [*marked.split(), ","]):
        if word in FUNCTION_WORDS or not any(c.isalnum() for c in word):
            if run:
                yield run
            run = []
        else:
            run.append(word)
