"""Names that an edit holds where they are without being told to: those that a model is most likely to mistake for the
edited one, which end with the same word or are of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from editc.core.manifest import Fact, Manifest, Redirect
from editc.core.network import Network, Spot
from editc.core.text import fold_name
from editc.passes.language import known, sentences
from editc.passes.language.candidates import Around

METHODS = frozenset({"rome", "emmet", "alphaedit"})
"""Methods that hold names unasked. `memit` weighs each held key as 3,000 tokens of text against an edit's one: with
two dozen near ones twelve facts lost a quarter of their paraphrases (docs/measurements/bystanders-language.md)."""
ALIKE, KIND = 12, 12
"""Names held for one edit that end with its last word, and of its kind; several edits share three times as many."""
SENTENCES = 3
"""Contexts of an edit in which a name is held: its key is the mean over them."""


def names(manifest: Manifest, index: int) -> tuple[str, ...]:
    """The names held for an edit: of the half that verify does not ask about, none that the manifest names anywhere."""
    edits = manifest.language_edits
    around, edit = Around(manifest, manifest.seed), edits[index]
    told = " ".join(fold_name(one.prompt) for each in edits for one in getattr(each, "neighbours", ()))
    share = min(1.0, 3 / len(edits))
    found = dict[str, None]()
    for every, most in ((around.alike(edit.names[0], False), ALIKE), (_of_kind(around, edit.names[0]), KIND)):
        fresh = (known.without_article(one) for one in every if fold_name(known.without_article(one)) not in told)
        new = (one for one in fresh if one not in found and one not in manifest.preserve.concepts)
        found |= dict.fromkeys(islice(new, max(2, round(most * share))))
    return tuple(found)


def groups(manifest: Manifest, index: int, network: Network) -> Iterator[tuple[Spot, ...]]:
    """Where those names are held, in groups whose mean is one key: each in some contexts of the edit, by form."""
    edit = manifest.language_edits[index]
    assert isinstance(edit, (Fact, Redirect))
    seen = [one for one in sentences.edit_sentences(edit, manifest) if one.name == edit.names[0]]
    for name in names(manifest, index):
        for one in seen:
            spots = replace(one, name=name, to=None, templates=one.templates[:SENTENCES]).contexts
            places = network.places(spots)
            off = tuple(spot for spot, place in zip(spots, places, strict=True) if not place.sink)
            if off:
                yield off


def _of_kind(around: Around, name: str) -> tuple[str, ...]:
    kind = known.kind_of(name)
    return () if kind == known.ANY else around.names(kind, False)
