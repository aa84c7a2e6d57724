"""The names that an edit of a language model preserves although its manifest does not name them: those that a model is
most likely to mistake for the edited one, because they end with the same word or are of the same kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from editc.core.language_edits import Fact, Redirect
from editc.core.manifest import Manifest
from editc.core.network import Network
from editc.core.prompts import Spot
from editc.core.text import fold_name
from editc.passes.language import sentences, well_known
from editc.passes.language.candidates import UneditedNames

METHODS_WITH_DEFAULTS = frozenset({"rome", "emmet", "alphaedit"})
"""The methods that preserve default names. `memit` does not: it weighs each preserved key like 3,000 tokens of text,
and with two dozen of them twelve facts lost a quarter of their paraphrases
(docs/measurements/bystanders-language.md)."""
MOST_WITH_LAST_WORD, MOST_OF_KIND = 12, 12
"""The most default names of one edit that end with its last word, and that are of its kind. Several edits share three
times as many. Chosen by hand; measured in docs/measurements/bystanders-language.md."""
CONTEXTS_PER_NAME = 3
"""How many contexts of the edit a default name is put into; its key is the mean over them. Chosen by hand: each costs
a run of the model."""


def default_names(manifest: Manifest, index: int) -> tuple[str, ...]:
    """The default names of edit number `index`. None of them is measured by verify, edited, or named under `neighbours`
    or `preserve`."""
    edits = manifest.language_edits
    unedited, edit = UneditedNames(manifest, manifest.seed), edits[index]
    named = " ".join(fold_name(one.prompt) for each in edits for one in getattr(each, "neighbours", ()))
    share = min(1.0, 3 / len(edits))
    found = dict[str, None]()
    for every, most in (
        (unedited.with_last_word_of(edit.names[0], False), MOST_WITH_LAST_WORD),
        (_names_of_same_kind(unedited, edit.names[0]), MOST_OF_KIND),
    ):
        fresh = (
            well_known.without_article(one) for one in every if fold_name(well_known.without_article(one)) not in named
        )
        new = (one for one in fresh if one not in found and one not in manifest.preserve.concepts)
        found |= dict.fromkeys(islice(new, max(2, round(most * share))))
    return tuple(found)


def default_groups(manifest: Manifest, index: int, network: Network) -> Iterator[tuple[Spot, ...]]:
    """The positions of the default names of an edit. Each group gives one key, the mean over its positions: one name in
    some contexts of the edit, all plain text or all chat. A name in the attention sink is left out."""
    edit = manifest.language_edits[index]
    assert isinstance(edit, (Fact, Redirect))
    own = [one for one in sentences.edit_sentences(edit, manifest) if one.name == edit.names[0]]
    for name in default_names(manifest, index):
        for one in own:
            spots = replace(one, name=name, to=None, templates=one.templates[:CONTEXTS_PER_NAME]).contexts
            places = network.positions(spots)
            off = tuple(spot for spot, place in zip(spots, places, strict=True) if not place.sink)
            if off:
                yield off


def _names_of_same_kind(unedited: UneditedNames, name: str) -> tuple[str, ...]:
    """The unmeasured names of the kind of `name`; empty if its kind is not known."""
    kind = well_known.kind_of(name)
    return () if kind == well_known.UNLISTED else unedited.of_kind(kind, False)
