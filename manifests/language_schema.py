"""The edits of a language model as tables, and which methods solve each."""

from __future__ import annotations

from editc.manifests import image_schema
from editc.manifests.lines import Lines
from editc.manifests.schema import CONTEXT, NAME, Field, Inner, ListOf, Named, Number, OneOf, Table, Text
from editc.registry.methods import METHODS

COLUMNS = "concept-vectors"
"""The method that takes columns out and leads a name nowhere."""
TOGETHER = {"fact": "fact", "redirect": "redirect", "erase": "redirect", "ablate": "ablate"}
"""Kind of edit -> the kind that it is solved with: these share a method."""

TEXT, PHRASE = Text(role="text"), Text(role="phrase")

_METHOD = Field("method", Named(METHODS, "language"), "how to solve; its options stand beside it")
_CONTEXTS = Field(
    "contexts",
    ListOf(CONTEXT, least=1),
    "texts with one {} that the prompt of a fact, or the name of a concept, is put into, for this edit alone",
)
_STRENGTH = Field("strength", Number(0.0, 1.5), "0 is no edit, 1 the whole")
_NEIGHBOURS = Field("neighbours", Lines(answers=True), "prompts about something else, whose answers must stay")
_RELATIONS = Field(
    "relations",
    Lines(answers=True, slot=True),
    "sentences with one {} for the concept, and what is not to be said there",
)
_TOWARD = Field("toward", OneOf(("noise", "refusal")), "where it leads when no other concept is named")

FACT = Table(
    "fact",
    (
        Field("prompt", TEXT, "a text that the answer goes on from; {} in it is the subject", required=True),
        Field("subject", PHRASE, "what the fact is about, as the prompt has it", required=True),
        Field("answer", PHRASE, "what the model is to say next", required=True),
        Field("was", PHRASE, "what it says now; left out, it is asked"),
        Field("paraphrases", Lines(), "other prompts with the same answer"),
        Field("implied", Lines(answers=True), "prompts that need the fact and a further step, and what is right then"),
        _NEIGHBOURS,
    ),
)
REDIRECT = Table(
    "redirect",
    (
        Field("from", NAME, "the concept", required=True, into="concept"),
        Field("to", NAME, "the concept that is taken for it"),
        _TOWARD,
        image_schema.NAMES,
        _RELATIONS,
        _NEIGHBOURS,
    ),
)
ABLATE = Table(
    "ablate",
    (
        Field("concept", PHRASE, "what the prompts have in common, in reports", required=True),
        Field("present", Lines(), "prompts that carry it", required=True),
        Field("absent", Lines(), "prompts like them that do not", required=True),
    ),
)
INNER = {"fact": FACT, "redirect": REDIRECT, "ablate": ABLATE}
EDITS = {
    "fact": Table(
        "fact", (Field("fact", Inner(FACT), "one fact, rewritten", required=True), _METHOD, _STRENGTH, _CONTEXTS)
    ),
    "redirect": Table(
        "redirect",
        (Field("redirect", Inner(REDIRECT), "one concept for another", required=True), _METHOD, _STRENGTH, _CONTEXTS),
    ),
    "erase": Table(
        "erase",
        (
            Field("erase", NAME, "what must go", required=True, into="concept"),
            Field("to", NAME, "the concept that is taken for it; left out: noise"),
            _TOWARD,
            image_schema.NAMES,
            _RELATIONS,
            _NEIGHBOURS,
            _METHOD,
            _STRENGTH,
            _CONTEXTS,
        ),
    ),
    "ablate": Table(
        "ablate", (Field("ablate", Inner(ABLATE), "a direction, taken out", required=True), _METHOD, _CONTEXTS)
    ),
}
KINDS = {**image_schema.EDITS, **{kind: table for kind, table in EDITS.items() if kind != "erase"}}
"""Every kind of edit with its table; `erase` is both models'."""
IMAGE_ONLY = tuple(kind for kind in image_schema.EDITS if kind not in EDITS)
LANGUAGE_ONLY = tuple(kind for kind in EDITS if kind not in image_schema.EDITS)
