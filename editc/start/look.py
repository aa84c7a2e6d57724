"""What a model's headers and tokenizer say before a manifest is written for it. Reads no weights and loads no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from os.path import relpath
from pathlib import Path

from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.places import Source
from editc.core.text import count, plain_words
from editc.formats.models.model import Model
from editc.manifests.json_schema.whole import FILE
from editc.manifests.kinds import KindName
from editc.opening.target import Target
from editc.start.recipes import Answers, contexts_of, image_manifest, language_manifest, recipe_text

ADAPTERS = ("kohya", "diffusers", "peft")
"""Formats that most programs load, the first that suits a family is proposed."""
FEW_CONTEXTS = 4
"""The fewest contexts that are kept where the model does not know the words of others. Chosen by hand."""


@dataclass(frozen=True)
class Look:
    """A model, and what can be said of it at once."""

    model: Model
    """The opened model."""
    family: Family
    """Its family."""
    name: str
    """The model as the manifest is to name it."""
    folder: Path
    """Where the manifest will be."""
    encoder: str = ""
    """The folder of its text encoder as the manifest is to name it, for a model that is one file; else empty."""

    @property
    def is_image(self) -> bool:
        """True for a model that paints pictures."""
        return self.family.models == "image"

    @cached_property
    def words(self) -> Sequence[str]:
        """The whole words of its tokenizer; empty where they cannot be told from pieces, or it has no tokenizer."""
        if self.is_image:
            from editc.opening.default_list import vocabulary_words

            return vocabulary_words(self.model, self._manifest, self.family)
        from editc.formats.models.vocabulary import whole_words

        return whole_words(self.model.path)

    @cached_property
    def _manifest(self) -> Manifest:
        """A manifest that names nothing but the model and its encoder, for what asks for one."""
        kind: KindName = "image" if self.is_image else "language"
        source = Source(str(self.folder / "manifest.yaml"), "")
        return Manifest(kind=kind, source=source, digest="", model=self.name, edits=(), encoder=self.encoder or None)

    @cached_property
    def own_prompts(self) -> int | None:
        """How many prompts of its own it brings, which are preserved by default; None where it has no such file."""
        from editc.opening.default_list import own_prompts

        found = own_prompts(self.model, self._manifest)
        return None if found is None else len(found)

    def unread_words(self, name: str) -> tuple[str, ...]:
        """The words of a name that its tokenizer has only in pieces. Short words are not looked at."""
        from editc.formats.models.vocabulary import SHORTEST

        known = frozenset(self.words)
        return tuple(one for one in plain_words(name) if known and len(one) >= SHORTEST and one not in known)


def look_at(model: str, folder: Path, encoder: str = "") -> Look:
    """Open a model by its headers. `folder` is where the manifest will be: a path in the manifest is relative to it.
    Raises E610 to E619 where there is no model, E201 and E206 for one of no known family."""
    target = Target(Path(model) if Path(model).exists() else model, model)
    named = [_name_from(name, folder) if name else "" for name in (model, encoder)]
    return Look(target.model, target.family, named[0], folder, named[1])


def draft(answers: Answers, found: Look) -> str:
    """The manifest for these answers: commented, and sound if the model has what its family needs."""
    notes = "".join(f"# {line}\n" for line in _notes(answers, found))
    emit = _format_for(found.family.name)
    if not found.is_image:
        return language_manifest(answers, notes, emit)
    return image_manifest(answers, notes, emit, _unread_contexts(answers.kind, found))


def schema_lines(folder: Path, start: Path) -> str:
    """The comments by which an editor finds the schema of a manifest in `folder`.

    They name the nearest schema file in that folder, or in one above it as far up as the folder `start`, by a relative
    path: the manifest may go to other machines. If there is none, they say how to make one.
    """
    place, top = folder.absolute(), start.absolute()
    above = [one for one in (place, *place.parents) if one == place or one.is_relative_to(top)]
    near = next((one / FILE for one in above if (one / FILE).is_file()), None)
    if near is not None:
        return f"# yaml-language-server: $schema={Path(relpath(near, place)).as_posix()}\n"
    return (
        f"# An editor completes this file after `editc schema -o {FILE}` beside it, with this line at the top:\n"
        f"# `yaml-language-server: $schema={FILE}`\n"
    )


def _format_for(family: str) -> str:
    """The first of `ADAPTERS` that holds deltas for a family; empty if none does."""
    from editc.registry.formats import FORMATS

    return next((name for name in ADAPTERS if not FORMATS.resolve(name).suits(family)), "")


def _notes(answers: Answers, found: Look) -> Iterator[str]:
    """What was seen, as lines for the manifest."""
    yield f"The model is of the family {found.family.name}: {found.family.title}."
    if found.is_image:
        own = found.own_prompts
        yield "Preserved by default: " + (
            "everyday prompts, and the words of its tokenizer."
            if own is None
            else f"{count(own, 'prompt')} of its own."
        )
    name = answers.erase or answers.subject
    if unread := found.unread_words(name):
        listed = ", ".join(f"`{word}`" for word in unread)
        yield f"Its tokenizer has {listed} in pieces only: check that the model knows the name at all."


def _unread_contexts(kind: str, found: Look) -> frozenset[str]:
    """The recipe's contexts with words that the tokenizer has in pieces only, where enough others are left."""
    from editc.passes.images.rows.vocabulary import readable_contexts

    every = contexts_of(recipe_text(kind))
    known = readable_contexts(every, found.words) if every and found.words else every
    return frozenset(every) - frozenset(known) if len(known) >= FEW_CONTEXTS else frozenset()


def _name_from(name: str, folder: Path) -> str:
    """A path seen from the manifest's folder; a name that is no path, or an absolute one, as it is."""
    path = Path(name)
    if path.is_absolute() or not path.exists():
        return name
    found = Path(relpath(path.absolute(), folder.absolute())).as_posix()
    return found if found.startswith(".") else f"./{found}"
