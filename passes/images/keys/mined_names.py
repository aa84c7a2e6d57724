"""Mining: which other names the text encoder reads as a concept, found among the words of a corpus."""

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
"""A phrase must beat each of its own words by this much, or it says no more than the word: `purple disc` by `disc`."""
COMPOUND = 3
"""A word always followed by the same one, this many times or more, is half of a name: `love` of `love symbol`."""
ALIKE = 0.9
"""From this score on a candidate is another name of the concept: on the demo model the other names of its 21 objects
score 0.94 and more, and no other word above 0.82."""
_SMALL_WORDS = """
a an the this that these those some any no of on in at by to from with without over under into near beside behind
between before after and or but as for is are was were be been it its his her their very
"""
FUNCTION_WORDS = frozenset(_SMALL_WORDS.split())


@dataclass(frozen=True)
class Neighbour:
    """Another name of a concept, found in a corpus."""

    name: str
    """Lower case."""
    score: float
    """How near the encoder reads it to the concept: a cosine, 1 for the same thing."""


def candidates(prompts: Iterable[str]) -> tuple[str, ...]:
    """The distinct words and two-word phrases of `prompts`, lower case, in the order of their first appearance.

    Function words are left out, and so are phrases that hold one or cross a comma or another mark. A word that is
    only ever the first half of one phrase is left out in favour of the phrase.
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
    """The `most` candidates that the encoder reads most like `concept`, best first, ties in the order of names.

    A name's signal in a context is the mean of the rows after its last word (end of text and padding, which have seen
    the whole prompt), less the mean of that over all candidates. The score is the cosine between two names' signals,
    over all contexts together. The mean is what makes it a measure: give some dozens of candidates or more.

    A phrase that holds the concept, or a word of its own that scores as well, is not another name and is left out.
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
    """`manifest` with the names mined from `prompts` added to `also` of every edit but `moderate`.

    A name is taken if it scores `alike` or more; of two edits the one that it is nearer to has it. What the manifest
    names itself (a target, another edit's name, what is preserved) is left alone. The tokenizer's vocabulary is not
    searched: most of it is pieces of words, and a name that no prompt uses teaches nothing of what prompts will say.
    """
    spoken_for = [name for request in manifest.image_edits for name in _names_of(request)] + list(
        manifest.preserve.concepts
    )
    kept = [*manifest.preserve.concepts, *manifest.preserve.prompts]
    free = [name for name in candidates(prompts) if name not in {one.casefold() for one in spoken_for}]
    free = [name for name in free if not any(mentions(prompt, name) for prompt in kept)]
    found = {
        request.concept: [
            one for one in neighbours(encoder, request.concept, free, contexts, most) if one.score >= alike
        ]
        for request in manifest.image_edits
        if request.kind != "moderate"
    }
    best = {one.name: max(_scores_of(found, one.name)) for names in found.values() for one in names}
    return replace(manifest, edits=tuple(_add_names(request, found, best) for request in manifest.image_edits))


def _names_of(request: Request) -> tuple[str, ...]:
    """Every name that an edit speaks of."""
    return (*request.names, request.to or "", *(name for name, _ in request.toward))


def _scores_of(found: Mapping[str, Sequence[Neighbour]], name: str) -> Iterator[tuple[float, str]]:
    return ((one.score, concept) for concept, names in found.items() for one in names if one.name == name)


def _add_names(
    request: Request, found: Mapping[str, Sequence[Neighbour]], best: Mapping[str, tuple[float, str]]
) -> Request:
    """The request with its mined names. `scale` is of all names together, so it grows with their number: a mined name
    takes nothing from the weight of those that were given."""
    mined = [one.name for one in found.get(request.concept, ()) if best[one.name][1] == request.concept]
    scale = request.scale * (1 + len(mined) / len(request.names))
    return replace(request, also=(*request.also, *mined), scale=scale)


def _signals(encoder: Encoder, context: str, names: Sequence[str], batch: int = 256) -> Iterator[Array]:
    """Each name's mean row (d,) after its text in the context; few prompts are in memory at once."""
    for start in range(0, len(names), batch):
        for encoded in encoder.encode([fill_context(context, name) for name in names[start : start + batch]]):
            yield np.asarray(rows_after(encoded).mean(axis=0))


def _is_outscored(name: str, scores: dict[str, float]) -> bool:
    words = name.split()
    return len(words) > 1 and any(scores.get(word, -1.0) >= scores[name] - SLACK for word in words)


def _runs(prompt: str) -> Iterator[list[str]]:
    """Stretches of words with no mark or function word between them."""
    marked = "".join(c if c.isalnum() or c in "'-" or c.isspace() else " , " for c in prompt.lower())
    run: list[str] = []
    for word in (part.strip("'-") for part in [*marked.split(), ","]):
        if word in FUNCTION_WORDS or not any(c.isalnum() for c in word):
            if run:
                yield run
            run = []
        else:
            run.append(word)
