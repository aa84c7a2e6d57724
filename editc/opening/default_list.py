"""The default list of preserved prompts: the model's own, or everyday prompts and the words that the model knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from editc.core.diagnostics import Diagnostic, pointing_at
from editc.core.family import Family
from editc.core.manifest import Manifest, Request
from editc.core.ports import Context
from editc.formats.models.model import Model

OWN_CORPUS = "prompts.txt"
"""A file in a model's folder: the prompts that are preserved by default, in place of all others."""
SHOWN = 5
"""The most words that E229 names."""
FITS = 0.5
"""The share of the everyday prompts' words that are whole words of a tokenizer which they fit. Chosen by hand: CLIP has
nearly all of them, and a tokenizer that was made for other texts a few."""


def default_prompts(model: Model, manifest: Manifest, ctx: Context) -> tuple[str, ...]:
    """Return the default list for an image model whose ports are open; the everyday prompts for another kind.

    A model that brings `prompts.txt` has its prompts and no others. Any other has the everyday prompts that its
    tokenizer reads as words, then prompts of the words that its text encoder knows
    (`passes.images.rows.vocabulary`).
    """
    own = own_prompts(model, manifest)
    if own is not None or ctx.encoder is None or ctx.family is None:
        return everyday_prompts() if own is None else own
    from editc.passes.images.rows.vocabulary import readable, vocabulary_prompts

    words = vocabulary_words(model, manifest, ctx.family)
    if not words:
        return everyday_prompts()
    contexts = _contexts(words, ctx)
    return (
        *readable(everyday_prompts(), words),
        *vocabulary_prompts(words, _edited_names(manifest), contexts, ctx.encoder, ctx.cache, ctx.progress),
    )


def name_warnings(model: Model, manifest: Manifest, ctx: Context) -> Iterator[Diagnostic]:
    """E229, a warning, for each edit of a model without prompts of its own whose encoder reads words as the concept
    that the manifest does not list: other names of it."""
    if ctx.encoder is None or ctx.family is None or manifest.preserve.corpus != "default":
        return
    if own_prompts(model, manifest) is not None:
        return
    from editc.passes.images.rows.vocabulary import read_as

    words, edited = vocabulary_words(model, manifest, ctx.family), _edited_names(manifest)
    found = read_as(words, edited, _contexts(words, ctx), ctx.encoder, ctx.cache) if words and edited else {}
    for request in manifest.image_edits:
        alike = dict.fromkeys(word for name in request.names for word in found.get(name, ()))
        if alike and request.kind in ("erase", "replace"):
            yield _unlisted(manifest, request, tuple(alike))


def _unlisted(manifest: Manifest, request: Request, words: tuple[str, ...]) -> Diagnostic:
    """Make the E229 of an edit."""
    listed = ", ".join(f"`{word}`" for word in words[:SHOWN])
    return Diagnostic(
        "E229",
        f"the text encoder reads {listed} as `{request.concept}`, and the manifest does not list "
        + ("it" if len(words) == 1 else "them"),
        request.at(),
        manifest.source,
        severity="warning",
        help="add what names the same thing to `also`, or what must stay to `preserve.concepts`",
    )


def _edited_names(manifest: Manifest) -> list[str]:
    """Return every name that is erased or replaced."""
    return [name for request in manifest.image_edits if request.kind != "moderate" for name in request.names]


def _contexts(words: Sequence[str], ctx: Context) -> tuple[str, ...]:
    """Return the sentences into which words are put: the model's own, or those of the family that it can read."""
    from editc.passes.images.rows.vocabulary import readable_contexts

    assert ctx.family is not None
    return readable_contexts(ctx.contexts or ctx.family.contexts, words)


def list_warnings(model: Model, manifest: Manifest, family: Family) -> Iterator[Diagnostic]:
    """E228, a warning, for a model without prompts of its own whose tokenizer knows few words of the everyday ones."""
    if own_prompts(model, manifest) is not None or manifest.preserve.corpus != "default":
        return
    words = vocabulary_words(model, manifest, family)
    if not words:
        return
    from editc.passes.images.rows.vocabulary import readable, share_of_words

    everyday = everyday_prompts()
    share = share_of_words(everyday, words)
    if share < FITS:
        left = len(readable(everyday, words))
        yield Diagnostic(
            "E228",
            f"the everyday prompts do not fit this model: {share:.0%} of their words are whole words of its tokenizer",
            manifest.at("model"),
            manifest.source,
            severity="warning",
            help="write prompts of the model's own world into `prompts.txt` in its folder, one a line",
            notes=(
                f"{left} of the {len(everyday)} everyday prompts are preserved, and the words that the tokenizer has",
                *_unread_contexts(manifest, family, words),
            ),
        )


def _unread_contexts(manifest: Manifest, family: Family, words: Sequence[str]) -> tuple[str, ...]:
    """Return a note on the sentences for concepts that the tokenizer cannot read, where no others are given."""
    from editc.passes.images.rows.vocabulary import readable_contexts

    if manifest.contexts or all(request.contexts for request in manifest.image_edits):
        return ()
    every, read = family.contexts, readable_contexts(family.contexts, words)
    if len(read) == len(every):
        return ()
    return (
        f"{len(every) - len(read)} of the {len(every)} sentences for concepts have words that the tokenizer does not "
        "have, and are left out: write some of the model's own into `contexts.txt`, or under `contexts`",
    )


def known_contexts(model: Model, manifest: Manifest, family: Family) -> tuple[str, ...]:
    """Return the family's sentences for concepts of which the tokenizer reads every word; () where it reads them all,
    or where its words cannot be told from pieces.

    In the others a model reads pieces of words that it never saw, and its pictures may not show the concept.
    """
    words = vocabulary_words(model, manifest, family)
    if not words:
        return ()
    from editc.passes.images.rows.vocabulary import readable_contexts

    read = readable_contexts(family.contexts, words)
    return () if len(read) == len(family.contexts) else read


def unlisted_words(model: Model, manifest: Manifest, family: Family) -> tuple[str, ...]:
    """Return the whole words of the tokenizer of a model without prompts of its own; () for a model with some."""
    return () if own_prompts(model, manifest) is not None else tuple(vocabulary_words(model, manifest, family))


def own_prompts(model: Model, manifest: Manifest) -> tuple[str, ...] | None:
    """Return the prompts of `prompts.txt` in the model's folder, else in the folder of its text encoder; None where
    neither has such a file."""
    own = model.path / OWN_CORPUS
    if not own.is_file():
        own = _pipeline_folder(model, manifest) / OWN_CORPUS
    return _lines(own.read_text(encoding="utf-8")) if own.is_file() else None


def everyday_prompts() -> tuple[str, ...]:
    """Return the everyday prompts that come with editc."""
    from editc.texts import read_text

    return _lines(read_text("everyday.txt"))


def vocabulary_words(model: Model, manifest: Manifest, family: Family) -> Sequence[str]:
    """Return the whole words of the tokenizer whose encoder most edited layers read. Raises E617 for a damaged file."""
    from editc.formats.models.vocabulary import whole_words
    from editc.libraries.text_encoders import encoder_parts, tokenizer_of

    with pointing_at(manifest, "encoder" if manifest.encoder else "model"):
        folder = _pipeline_folder(model, manifest)
        parts = encoder_parts(folder, family.streams["text"]) or list(family.streams["text"].parts)
        return whole_words(folder / tokenizer_of(parts[0]))


def _pipeline_folder(model: Model, manifest: Manifest) -> Path:
    """Return the folder with the tokenizers: that of `encoder` in the manifest, else the model's own."""
    if manifest.encoder is None:
        from editc.formats.models.fingerprint import pipeline_of

        return pipeline_of(model)
    beside = Path(manifest.source.name).parent / manifest.encoder
    return beside if beside.exists() else Path(manifest.encoder)


def _lines(text: str) -> tuple[str, ...]:
    """Return the lines of a list of prompts, without empty ones and without comments."""
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
