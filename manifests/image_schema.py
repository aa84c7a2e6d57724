"""The edits of an image model as tables."""

from __future__ import annotations

from editc.manifests.value_kinds import (
    CONTEXT,
    NAME,
    InnerBlock,
    KeyField,
    KeyTable,
    ListedName,
    ListOf,
    Number,
    OneOf,
    RegistryName,
    Shares,
    Text,
    WholeNumber,
)
from editc.registry.key_rules import KEY_RULES
from editc.registry.methods import METHODS

TOKEN_WEIGHTS = KeyTable(
    "token_weights",
    (
        KeyField("bos", Number(0.0), "the row that begins a text"),
        KeyField("eot", Number(0.0), "the first row that ends it"),
        KeyField("last", Number(0.0), "the last row, for all the padding"),
        KeyField("keyword", Number(0.0), "each token of the concept"),
    ),
)
"""The block `token_weights`."""
COMMON = (
    KeyField(
        "method",
        RegistryName(METHODS, "image"),
        "how to solve; left out: the family's default; its options stand beside it",
    ),
    KeyField(
        "keys",
        ListedName(KEY_RULES),
        "which rows of the embedding are edited: aligned in many contexts, last token, whole span, matched (all but "
        "the concept's own), eot (the end of the text)",
    ),
    KeyField("token_weights", InnerBlock(TOKEN_WEIGHTS), "what each anchor of `keys: eot` counts"),
    KeyField("expand", OneOf(("object", "art")), "for `keys: last` and `span`: the name in UCE's five phrases besides"),
    KeyField(
        "strength",
        Number(0.0, 1.5, words=("auto",)),
        "0 is no edit, 1 the whole; auto: the least that meets the constraints",
    ),
    KeyField("contexts", ListOf(CONTEXT, min_items=1), "sentences with one {}, for this edit alone"),
    KeyField("scale", Number(0.0, above=True), "weight of this edit against the others"),
)
"""The keys that stand beside `erase`, `replace` and `moderate`."""
ALSO = KeyField("also", ListOf(NAME), "other names of the same thing")
"""The key `also`, of several kinds of edits."""

ERASE = KeyTable(
    "erase",
    (
        KeyField("erase", NAME, "what must go", required=True, into="concept"),
        ALSO,
        KeyField("to", NAME, "what takes its place; left out: the family's neutral concept"),
        *COMMON,
    ),
)
"""The edit `erase`: its concept and all other keys stand side by side."""
REPLACE_KEYS = KeyTable(
    "replace",
    (
        KeyField("from", NAME, "what must go", required=True, into="concept"),
        KeyField("to", NAME, "what takes its place", required=True),
        ALSO,
    ),
)
"""The block inside `replace`."""
REPLACE = KeyTable(
    "replace", (KeyField("replace", InnerBlock(REPLACE_KEYS), "erase with a named substitute", required=True), *COMMON)
)
"""The edit `replace`."""
SHARES = KeyTable(
    "shares",
    (
        KeyField("pictures", WholeNumber(1, 10_000), "how many are painted of the concept in each round"),
        KeyField("rounds", WholeNumber(1, 1000), "how many edits are tried at most"),
        KeyField("tolerance", Number(0.0, 1.0, above=True), "how far a share may be from the one wanted"),
    ),
)
"""The block `shares` inside `moderate`."""
MODERATE_KEYS = KeyTable(
    "moderate",
    (
        KeyField("concept", NAME, "what is shifted", required=True),
        KeyField("toward", Shares(), "towards which concepts, with what share each", required=True),
        KeyField(
            "shares",
            InnerBlock(SHARES, word="measured"),
            "the shares are those of pictures: the pulls that lead to them are searched for by measuring pictures",
        ),
    ),
)
"""The block inside `moderate`."""
MODERATE = KeyTable(
    "moderate",
    (KeyField("moderate", InnerBlock(MODERATE_KEYS), "shift a concept towards others", required=True), *COMMON),
)
"""The edit `moderate`."""
FUSE = KeyTable(
    "fuse",
    (
        KeyField("fuse", Text(), "a LoRA file to add, relative to the manifest", required=True, into="adapter"),
        KeyField("concept", NAME, "what the file erases; `method: mace` fuses it on this concept's prompts"),
        KeyField(
            "method", OneOf(("spm", "mace")), "spm: the sum of the files; mace: each on its own concept's prompts"
        ),
        KeyField("strength", Number(0.0, 1.5), "its gate: 0 is no edit, 1 the file as it was trained"),
        KeyField("contexts", ListOf(CONTEXT, min_items=1), "sentences with one {}, for this concept"),
    ),
)
"""The edit `fuse`: its file and all other keys stand side by side."""
EDITS = {"erase": ERASE, "replace": REPLACE, "moderate": MODERATE, "fuse": FUSE}
"""Kind of edit -> its table, in the order in which they are documented."""
