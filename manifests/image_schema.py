"""The edits of an image model as tables."""

from __future__ import annotations

from editc.manifests.schema import (
    CONTEXT,
    NAME,
    Field,
    Inner,
    ListOf,
    Named,
    Number,
    OneName,
    OneOf,
    Shares,
    Table,
    Text,
    Whole,
)
from editc.registry.key_rules import KEY_RULES
from editc.registry.methods import METHODS

TOKENS = Table(
    "token_weights",
    (
        Field("bos", Number(0.0), "the row that begins a text"),
        Field("eot", Number(0.0), "the first row that ends it"),
        Field("last", Number(0.0), "the last row, for all the padding"),
        Field("keyword", Number(0.0), "each token of the concept"),
    ),
)
COMMON = (
    Field(
        "method", Named(METHODS, "image"), "how to solve; left out: the family's default; its options stand beside it"
    ),
    Field(
        "keys",
        OneName(KEY_RULES),
        "which rows of the embedding are edited: aligned in many contexts, last token, whole span, matched (all but "
        "the concept's own), eot (the end of the text)",
    ),
    Field("token_weights", Inner(TOKENS), "what each anchor of `keys: eot` counts"),
    Field("expand", OneOf(("object", "art")), "for `keys: last` and `span`: the name in UCE's five phrases besides"),
    Field(
        "strength",
        Number(0.0, 1.5, words=("auto",)),
        "0 is no edit, 1 the whole; auto: the least that meets the constraints",
    ),
    Field("contexts", ListOf(CONTEXT, least=1), "sentences with one {}, for this edit alone"),
    Field("scale", Number(0.0, above=True), "weight of this edit against the others"),
)
NAMES = Field("also", ListOf(NAME), "other names of the same thing")

ERASE = Table(
    "erase",
    (
        Field("erase", NAME, "what must go", required=True, into="concept"),
        NAMES,
        Field("to", NAME, "what takes its place; left out: the family's neutral concept"),
        *COMMON,
    ),
)
SUBSTITUTE = Table(
    "replace",
    (
        Field("from", NAME, "what must go", required=True, into="concept"),
        Field("to", NAME, "what takes its place", required=True),
        NAMES,
    ),
)
REPLACE = Table(
    "replace", (Field("replace", Inner(SUBSTITUTE), "erase with a named substitute", required=True), *COMMON)
)
MEASURED = Table(
    "shares",
    (
        Field("pictures", Whole(1, 10_000), "how many are painted of the concept in each round"),
        Field("rounds", Whole(1, 1000), "how many edits are tried at most"),
        Field("tolerance", Number(0.0, 1.0, above=True), "how far a share may be from the one wanted"),
    ),
)
BALANCE = Table(
    "moderate",
    (
        Field("concept", NAME, "what is shifted", required=True),
        Field("toward", Shares(), "towards which concepts, with what share each", required=True),
        Field(
            "shares",
            Inner(MEASURED, word="measured"),
            "the shares are those of pictures: the pulls that lead to them are searched for by measuring pictures",
        ),
    ),
)
MODERATE = Table(
    "moderate", (Field("moderate", Inner(BALANCE), "shift a concept towards others", required=True), *COMMON)
)
FUSE = Table(
    "fuse",
    (
        Field("fuse", Text(), "a LoRA file to add, relative to the manifest", required=True, into="adapter"),
        Field("concept", NAME, "what the file erases; `method: mace` fuses it on this concept's prompts"),
        Field("method", OneOf(("spm", "mace")), "spm: the sum of the files; mace: each on its own concept's prompts"),
        Field("strength", Number(0.0, 1.5), "its gate: 0 is no edit, 1 the file as it was trained"),
        Field("contexts", ListOf(CONTEXT, least=1), "sentences with one {}, for this concept"),
    ),
)
EDITS = {"erase": ERASE, "replace": REPLACE, "moderate": MODERATE, "fuse": FUSE}
