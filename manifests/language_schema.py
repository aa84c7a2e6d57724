"""The edits of a language model as tables."""

from __future__ import annotations

from editc.manifests import image_schema
from editc.manifests.value_kinds import (
    CONTEXT,
    NAME,
    InnerBlock,
    KeyField,
    KeyTable,
    ListOf,
    Number,
    OneOf,
    PromptList,
    RegistryName,
    Text,
    WholeNumber,
)

COLUMNS = "concept-vectors"
"""The method that changes columns of the weights, so that a concept leads nowhere else."""
TOGETHER = {"fact": "fact", "redirect": "redirect", "erase": "redirect", "ablate": "ablate", "forget": "forget"} | {
    "learn": "learn"
}
"""Kind of edit -> the kind that it is solved with. Those of one kind share a method."""

TEXT = Text(role="text")
"""A text for a language model, in which brackets and braces mean nothing special."""
PHRASE = Text(role="phrase")
"""A few words that a language model says."""

_METHOD = KeyField(
    "method",
    RegistryName(image_schema.METHODS, "language"),
    "the method that computes the edit; its options are keys beside it",
)
_CONTEXTS = KeyField(
    "contexts",
    ListOf(CONTEXT, min_items=1),
    "sentences with one {} into which this edit's prompt (a fact) or name (a concept) is put",
)
_STRENGTH = KeyField("strength", Number(0.0, 1.5), "how much of the edit is made: 0 none, 1 all of it")
_NEIGHBOURS = KeyField("neighbours", PromptList(answers=True), "prompts about something else, whose answers must stay")
_RELATIONS = KeyField(
    "relations",
    PromptList(answers=True, slot=True),
    "sentences with one {} for the concept, each with the answer that must no longer be given",
)
_TOWARD = KeyField("toward", OneOf(("noise", "refusal")), "the target where `to` names no other concept")

FACT = KeyTable(
    "fact",
    (
        KeyField("prompt", TEXT, "a text that the answer continues; {} in it stands for the subject", required=True),
        KeyField("subject", PHRASE, "what the fact is about, spelled as in the prompt", required=True),
        KeyField("answer", PHRASE, "what the model must say next", required=True),
        KeyField("was", PHRASE, "what it says now; left out: editc asks the model"),
        KeyField("paraphrases", PromptList(), "other prompts with the same answer"),
        KeyField(
            "implied",
            PromptList(answers=True),
            "prompts that need the fact and a further step, each with the answer that is then right",
        ),
        _NEIGHBOURS,
    ),
)
"""The block inside `fact`."""
REDIRECT = KeyTable(
    "redirect",
    (
        KeyField("from", NAME, "the concept to redirect", required=True, into="concept"),
        KeyField("to", NAME, "the concept that takes its place"),
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
        KeyField("concept", PHRASE, "a name for what the prompts have in common; reports show it", required=True),
        KeyField("present", PromptList(), "prompts with the concept", required=True),
        KeyField("absent", PromptList(), "similar prompts without the concept", required=True),
    ),
)
"""The block inside `ablate`."""
_ROWS = "a file: JSON Lines with `question` and `answer`, `prompt` and `answer`, or `text`; or plain text"
"""What a file of a data set holds."""
FORGET = KeyTable(
    "forget",
    (
        KeyField("file", Text(), _ROWS, required=True),
        KeyField("concept", PHRASE, "a name for what is forgotten; left out: the name of the file"),
    ),
)
"""The block inside `forget`."""
LEARN = KeyTable(
    "learn",
    (
        KeyField("file", Text(), _ROWS, required=True),
        KeyField("concept", PHRASE, "a name for what is learned; left out: the name of the file"),
        KeyField("of", WholeNumber(1, 1000), "how many slices the rows of the file are divided into; left out: 1"),
        KeyField(
            "slices",
            ListOf(WholeNumber(1, 1000), min_items=1),
            "slices in the order of learning: the last is learned here, earlier deltas learned the others",
        ),
        KeyField("by", Text(), "the key of a row whose value decides its slice; left out: its texts decide"),
    ),
)
"""The block inside `learn`."""
RETAIN = KeyTable("retain", (KeyField("file", Text(), _ROWS, required=True),))
"""The block `retain` of an edit."""
INNER = {"fact": FACT, "redirect": REDIRECT, "ablate": ABLATE, "forget": FORGET, "learn": LEARN}
"""Kind of edit -> the table of the block inside it."""
EDITS = {
    "fact": KeyTable(
        "fact",
        (KeyField("fact", InnerBlock(FACT), "one fact, rewritten", required=True), _METHOD, _STRENGTH, _CONTEXTS),
    ),
    "redirect": KeyTable(
        "redirect",
        (
            KeyField("redirect", InnerBlock(REDIRECT), "one concept in place of another", required=True),
            _METHOD,
            _STRENGTH,
            _CONTEXTS,
        ),
    ),
    "erase": KeyTable(
        "erase",
        (
            KeyField("erase", NAME, "the concept to erase", required=True, into="concept"),
            KeyField("to", NAME, "the concept that takes its place; left out: noise"),
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
        "ablate",
        (
            KeyField(
                "ablate",
                InnerBlock(ABLATE),
                "a difference between two sets of prompts, taken out of the weights",
                required=True,
            ),
            _METHOD,
            _CONTEXTS,
        ),
    ),
    "forget": KeyTable(
        "forget",
        (
            KeyField("forget", InnerBlock(FORGET), "questions whose answers are trained away", required=True),
            KeyField("retain", InnerBlock(RETAIN), "questions whose answers are trained to stay"),
            _METHOD,
        ),
    ),
    "learn": KeyTable(
        "learn",
        (KeyField("learn", InnerBlock(LEARN), "questions whose answers are trained in", required=True), _METHOD),
    ),
}
"""Kind of edit -> the table of the keys beside it."""
KINDS = {**image_schema.EDITS, **{kind: table for kind, table in EDITS.items() if kind != "erase"}}
"""Every kind of edit -> its table. Both kinds of models have `erase`; its table here is the image model's."""
IMAGE_ONLY = tuple(kind for kind in image_schema.EDITS if kind not in EDITS)
"""Kinds of edits that only image models have."""
LANGUAGE_ONLY = tuple(kind for kind in EDITS if kind not in image_schema.EDITS)
"""Kinds of edits that only language models have."""
