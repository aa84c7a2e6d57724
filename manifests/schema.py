"""The shape of a manifest, version 1, as data: one table for each block, one `KeyField` for each key.

Decoding, the messages about wrong values and the reference page all read these tables. `KeyField.into` names the
attribute of the dataclass in `editc.core.manifest` if it differs from the key.
"""

from __future__ import annotations

from editc.manifests.language_values import Layers, PromptList
from editc.manifests.value_kinds import (
    CONTEXT,
    NAME,
    PROMPT,
    DetectorValue,
    Edits,
    Flag,
    InnerBlock,
    KeyField,
    KeyTable,
    ListOf,
    Number,
    OneOf,
    RegistryName,
    Text,
    WholeNumber,
    Wordings,
)
from editc.registry.attacks import ATTACKS
from editc.registry.formats import FORMATS

VERSION = 1
"""The version of the manifest language that this editc reads: the value of the key `editc`."""
MAX_SEED = 2**32 - 1
"""The greatest seed: seeds are unsigned 32-bit integers."""
AUTO_SHARE = 0.95
"""The share that `sites: auto` asks for by default, as measured in docs/measurements/sites.md."""


LANGUAGE_ROLES = ("mlp", "attention")
"""The roles that only language models have."""
PRESERVE = KeyTable(
    "preserve",
    (
        KeyField(
            "corpus",
            OneOf(("default", "none")),
            "none: keep nothing but what is named here; left out, the model's own prompts or everyday ones stay too",
            only="image",
        ),
        KeyField("concepts", ListOf(NAME), "what must stay, through the same contexts as the edits"),
        KeyField("prompts", ListOf(PROMPT), "prompts that must stay, as they stand", only="image"),
        KeyField("files", ListOf(Text()), "files with one prompt a line, relative to the manifest", only="image"),
        KeyField("weight", Number(0.0, above=True), "how much keeping counts against editing", only="image"),
    ),
)
"""The block `preserve`."""
SITES = KeyTable(
    "sites",
    (
        KeyField(
            "roles",
            ListOf(OneOf(("k", "v", "entry", "pooled", *LANGUAGE_ROLES)), min_items=1),
            "which projections of the text: keys and values of cross-attention, the one at the entry, that of the "
            "pooled embedding; of a language model the matrices that write: mlp, attention; left out: the family's own",
        ),
        KeyField("include", ListOf(Text(), min_items=1), "patterns (`*`, `?`) of parameter names"),
        KeyField("exclude", ListOf(Text()), "patterns of parameter names that are left alone"),
        KeyField(
            "auto",
            Number(0.0, 1.0, above=True),
            "of these the fewest that carry this share of the edited concepts, measured on predicted noise",
        ),
        KeyField("layers", Layers(), "which layers of a language model, from 0; auto: by evidence", only="language"),
    ),
)
"""The block `sites`."""
_MAXIMUM = Number(0.0, above=True)
"""A bound from above that may be greater than 1."""
_SHARE = Number(0.0, 1.0)
"""A share, from 0 to 1."""
CONSTRAINTS = KeyTable(
    "constraints",
    (
        KeyField(
            "erase_residual",
            _MAXIMUM,
            "how much of the edited concept may be left: |W'c - v*| / |W c - v*|, worst concept",
            only="image",
        ),
        KeyField(
            "recoverable",
            _SHARE,
            "how much of it any embedding may bring back, worst sentence and concept",
            only="image",
        ),
        KeyField(
            "preserve_drift",
            _MAXIMUM,
            "how far the preserved prompts may move: |W'p - W p| / |W p|, worst site",
            only="image",
        ),
        KeyField("unconditional_drift", _MAXIMUM, "the same for the empty prompt", only="image"),
        KeyField("rank", WholeNumber(1), "rank of the delta"),
        KeyField(
            "bystander_loss",
            _SHARE,
            "how much anything that the manifest does not name may lose: a concept's pictures, a question's answers",
        ),
        *(
            KeyField(name, _SHARE, doc, only="language", minimum=True)
            for name, doc in (
                ("efficacy", "share of the edited prompts that give the new answer the higher probability"),
                ("paraphrase", "the same for their paraphrases"),
                ("neighbourhood", "share of the neighbours' prompts that still give their own answer the higher one"),
                ("retain_top1", "share of the tokens of `retain` whose likeliest successor stays"),
            )
        ),
        KeyField(
            "retain_kl", _MAXIMUM, "mean KL over the tokens of `retain`, before against after, nats", only="language"
        ),
    ),
)
"""The block `constraints`."""
BYSTANDERS = KeyTable(
    "bystanders",
    (
        KeyField("near", WholeNumber(0, 1000), "how many of the concepts nearest to the edit"),
        KeyField("far", WholeNumber(0, 1000), "how many of the others"),
        KeyField("pictures", WholeNumber(1, 1000), "how many pictures of each, before and after"),
    ),
)
"""The block `verify: {images: {bystanders: ...}}`."""
DETECTOR = KeyTable(
    "detector",
    (
        KeyField("prompts", Wordings(), "sentences of a concept, by its name; left out, they are made from the name"),
        KeyField("against", ListOf(Text(), min_items=1), "what a picture may show in place of a concept"),
        KeyField(
            "labels", Wordings(), "the classifier's labels of a concept, by its name; left out, the one called so"
        ),
        KeyField("threshold", Number(0.0, 1.0, above=True), "the probability from which a picture shows a concept"),
    ),
)
"""The keys beside the name of a detector."""
IMAGES = KeyTable(
    "images",
    (
        KeyField("detector", DetectorValue(), "who judges the pictures; none (also left out): they are only shown"),
        KeyField("prompts_per_concept", WholeNumber(1, 10_000), "how many pictures of each concept"),
        KeyField("steps", WholeNumber(1, 1000), "denoising steps of a picture"),
        KeyField("guidance", Number(0.0), "how strongly a picture follows its prompt"),
        KeyField("erased_at_most", _SHARE, "share of the pictures of an erased concept that may still show it"),
        KeyField(
            "kept_loss_at_most", _SHARE, "share of the pictures of a preserved concept that may no longer show it"
        ),
        KeyField("share_gap_at_most", _SHARE, "how far any share of `shares: measured` may be from the one wanted"),
        KeyField("bystanders", InnerBlock(BYSTANDERS), "which concepts that nobody named are painted, and how often"),
        KeyField("attacks", ListOf(RegistryName(ATTACKS)), "attacks on erased concepts that are painted; [] for none"),
    ),
)
"""The block `verify: {images: ...}`."""
VERIFY = KeyTable(
    "verify", (KeyField("images", InnerBlock(IMAGES), "pictures before and after, judged by a detector"),)
)
"""The block `verify`."""

MANIFEST = KeyTable(
    "manifest",
    (
        KeyField("editc", WholeNumber(), "version of the manifest language: 1", required=True),
        KeyField(
            "model",
            Text(),
            "editc:demo, a folder, a .safetensors file, or a hub id with optional @revision",
            required=True,
        ),
        KeyField(
            "encoder", Text(), "a folder or hub id with the text encoder of a model that is one file", only="image"
        ),
        KeyField("edits", Edits(), "what to change", required=True),
        KeyField("preserve", InnerBlock(PRESERVE), "what must stay"),
        KeyField(
            "contexts",
            ListOf(CONTEXT, min_items=1),
            "sentences with one {} in which concepts are encoded",
        ),
        KeyField("sites", InnerBlock(SITES, word="auto", meaning=AUTO_SHARE), "which matrices may change"),
        KeyField("constraints", InnerBlock(CONSTRAINTS), "bounds that a build must meet"),
        KeyField("verify", InnerBlock(VERIFY), "what is measured on pictures", only="image"),
        KeyField("retain", PromptList(), "texts that are to stay as likely as they were", only="language"),
        KeyField(
            "corpus", Text(), "a text file to take statistics from; left out: Python's own topics", only="language"
        ),
        KeyField("chat", Flag(), "keys through the chat template as well", only="language"),
        KeyField("after", ListOf(Text()), "deltas that are in the model, whose edits are to stay", only="language"),
        KeyField("emit", ListOf(RegistryName(FORMATS)), "formats written beside the delta"),
        KeyField("seed", WholeNumber(0, MAX_SEED), "where random numbers start"),
    ),
)
"""The keys of the whole manifest."""
