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

METHODS = "editc.registry.methods:METHODS"
"""Where the table of methods stands."""

TOKEN_WEIGHTS = KeyTable(
    "token_weights",
    (
        KeyField("bos", Number(0.0), "weight of the first row, which begins a text (BOS)"),
        KeyField("eot", Number(0.0), "weight of the first row that ends the text"),
        KeyField("last", Number(0.0), "weight of the last row, which stands for all padding"),
        KeyField("keyword", Number(0.0), "weight of each token of the concept"),
    ),
)
"""The block `token_weights`."""
COMMON = (
    KeyField(
        "method",
        RegistryName(METHODS, "image"),
        "the method that computes the edit; left out: the family's default; its options are keys beside it",
    ),
    KeyField(
        "keys",
        ListedName("editc.registry.key_rules:KEY_RULES"),
        "which rows of a prompt are edited: aligned (all, in many contexts), last (the last token), span (from the "
        "last token on), matched (all but the concept's own), eot (the beginning and the end, and the concept's own)",
    ),
    KeyField("token_weights", InnerBlock(TOKEN_WEIGHTS), "with `keys: eot`: the weight of each kind of row"),
    KeyField(
        "expand", OneOf(("object", "art")), "with `keys: last` or `span`: edit the name in UCE's five phrases as well"
    ),
    KeyField(
        "strength",
        Number(0.0, 1.5, words=("auto",)),
        "how much of the edit is made: 0 none, 1 all of it; auto: the least that meets the constraints",
    ),
    KeyField("contexts", ListOf(CONTEXT, min_items=1), "sentences with one {} in which this edit's concept is encoded"),
    KeyField("scale", Number(0.0, above=True), "weight of this edit against the others"),
)
"""The keys that stand beside `erase`, `replace` and `moderate`."""
LABEL = KeyField(
    "label", NAME, "what the detector looks for, where it is not the concept: a stamp in pictures that a word brings"
)
"""The key `label`, of edits after which something is gone."""
ALSO = KeyField("also", ListOf(NAME), "other names of the same thing")
"""The key `also`, of several kinds of edits."""

ERASE = KeyTable(
    "erase",
    (
        KeyField("erase", NAME, "the concept to erase", required=True, into="concept"),
        ALSO,
        KeyField("to", NAME, "the target, shown in its place; left out: the family's neutral concept"),
        KeyField("from", NAME, "a thing: what is erased is an attribute of it, which stays elsewhere", into="thing"),
        KeyField(
            "phrases",
            ListOf(CONTEXT, min_items=1),
            "with `from`: how the attribute is said of a thing, with {} for the thing; left out: before it",
        ),
        LABEL,
        *COMMON,
    ),
)
"""The edit `erase`: its concept and all other keys stand side by side."""
REPLACE_KEYS = KeyTable(
    "replace",
    (
        KeyField("from", NAME, "the concept to replace", required=True, into="concept"),
        KeyField("to", NAME, "what takes its place", required=True),
        ALSO,
    ),
)
"""The block inside `replace`."""
REPLACE = KeyTable(
    "replace",
    (KeyField("replace", InnerBlock(REPLACE_KEYS), "erase with a named substitute", required=True), LABEL, *COMMON),
)
"""The edit `replace`."""
SHARES = KeyTable(
    "shares",
    (
        KeyField("pictures", WholeNumber(1, 10_000), "how many pictures of the concept are painted in each round"),
        KeyField("rounds", WholeNumber(1, 1000), "the largest number of rounds, each of which tries one edit"),
        KeyField("tolerance", Number(0.0, 1.0, above=True), "how far a share may be from the wanted one"),
    ),
)
"""The block `shares` inside `moderate`."""
MODERATE_KEYS = KeyTable(
    "moderate",
    (
        KeyField("concept", NAME, "the concept that is shifted", required=True),
        KeyField("toward", Shares(), "the concepts towards which it is shifted, each with its share", required=True),
        KeyField(
            "shares",
            InnerBlock(SHARES, word="measured"),
            "measured: the shares are those of pictures, and editc searches for the pulls that lead to them",
        ),
    ),
)
"""The block inside `moderate`."""
MODERATE = KeyTable(
    "moderate",
    (
        KeyField(
            "moderate", InnerBlock(MODERATE_KEYS), "show a concept as several others, in given shares", required=True
        ),
        *COMMON,
    ),
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
        KeyField(
            "strength",
            Number(0.0, 1.5),
            "how much of the adapter is added (its gate): 0 none, 1 the file as it was trained",
        ),
        KeyField("contexts", ListOf(CONTEXT, min_items=1), "sentences with one {} in which this concept is encoded"),
    ),
)
"""The edit `fuse`: its file and all other keys stand side by side."""
EDITS = {"erase": ERASE, "replace": REPLACE, "moderate": MODERATE, "fuse": FUSE}
"""Kind of edit -> its table, in the order in which they are documented."""
