"""The edits of a language model as tables."""

from __future__ import annotations

from editc.manifests import image_schema
from editc.manifests.language_values import PromptList
from editc.manifests.value_kinds import (
    CONTEXT,
    NAME,
    InnerBlock,
    KeyField,
    KeyTable,
    ListOf,
    Number,
    OneOf,
    RegistryName,
    Text,
)
from editc.registry.methods import METHODS

COLUMNS = "concept-vectors"
"""The method that changes columns of the weights, so that a concept leads nowhere else."""
TOGETHER = {"fact": "fact", "redirect": "redirect", "erase": "redirect", "ablate": "ablate"}
"""Kind of edit -> the kind that it is solved with. Those of one kind share a method."""

TEXT = Text(role="text")
"""A text for a language model, in which brackets and braces mean nothing special."""
PHRASE = Text(role="phrase")
"""A few words that a language model says."""

_METHOD = KeyField("method", RegistryName(METHODS, "language"), "how to solve; its options stand beside it")
_CONTEXTS = KeyField(
    "contexts",
    ListOf(CONTEXT, min_items=1),
    "texts with one {} that the prompt of a fact, or the name of a concept, is put into, for this edit alone",
)
_STRENGTH = KeyField("strength", Number(0.0, 1.5), "0 is no edit, 1 the whole")
_NEIGHBOURS = KeyField("neighbours", PromptList(answers=True), "prompts about something else, whose answers must stay")
_RELATIONS = KeyField(
    "relations",
    PromptList(answers=True, slot=True),
    "sentences with one {} for the concept, and what is not to be said there",
)
_TOWARD = KeyField("toward", OneOf(("noise", "refusal")), "where it leads when no other concept is named")

FACT = KeyTable(
    "fact",
    (
        KeyField("prompt", TEXT, "a text that the answer goes on from; {} in it is the subject", required=True),
        KeyField("subject", PHRASE, "what the fact is about, as the prompt has it", required=True),
        KeyField("answer", PHRASE, "what the model is to say next", required=True),
        KeyField("was", PHRASE, "what it says now; left out, it is asked"),
        KeyField("paraphrases", PromptList(), "other prompts with the same answer"),
        KeyField(
            "implied", PromptList(answers=True), "prompts that need the fact and a further step, and what is right then"
        ),
        _NEIGHBOURS,
    ),
)
"""The block inside `fact`."""
REDIRECT = KeyTable(
    "redirect",
    (
        KeyField("from", NAME, "the concept", required=True, into="concept"),
        KeyField("to", NAME, "the concept that is taken for it"),
        _TOWARD,
        image_schema.ALSO,
        _RELATIONS,
        _NEIGHBOURS,
    ),
)
"""The block inside `redirect`."""
ABLATE = KeyTable(
    "ablate",
    (
        KeyField("concept", PHRASE, "what the prompts have in common, in reports", required=True),
        KeyField("present", PromptList(), "prompts that carry it", required=True),
        KeyField("absent", PromptList(), "prompts like them that do not", required=True),
    ),
)
"""The block inside `ablate`."""
INNER = {"fact": FACT, "redirect": REDIRECT, "ablate": ABLATE}
"""Kind of edit -> the table of the block inside it."""
EDITS = {
    "fact": KeyTable(
        "fact",
        (KeyField("fact", InnerBlock(FACT), "one fact, rewritten", required=True), _METHOD, _STRENGTH, _CONTEXTS),
    ),
    "redirect": KeyTable(
        "redirect",
        (
            KeyField("redirect", InnerBlock(REDIRECT), "one concept for another", required=True),
            _METHOD,
            _STRENGTH,
            _CONTEXTS,
        ),
    ),
    "erase": KeyTable(
        "erase",
        (
            KeyField("erase", NAME, "what must go", required=True, into="concept"),
            KeyField("to", NAME, "the concept that is taken for it; left out: noise"),
            _TOWARD,
            image_schema.ALSO,
            _RELATIONS,
            _NEIGHBOURS,
            _METHOD,
            _STRENGTH,
            _CONTEXTS,
        ),
    ),
    "ablate": KeyTable(
        "ablate", (KeyField("ablate", InnerBlock(ABLATE), "a direction, taken out", required=True), _METHOD, _CONTEXTS)
    ),
}
"""Kind of edit -> the table of the keys beside it."""
KINDS = {**image_schema.EDITS, **{kind: table for kind, table in EDITS.items() if kind != "erase"}}
"""Every kind of edit -> its table. Both kinds of models have `erase`; its table here is the image model's."""
IMAGE_ONLY = tuple(kind for kind in image_schema.EDITS if kind not in EDITS)
"""Kinds of edits that only image models have."""
LANGUAGE_ONLY = tuple(kind for kind in EDITS if kind not in image_schema.EDITS)
"""Kinds of edits that only language models have."""
