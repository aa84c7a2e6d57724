"""The shape of a manifest, version 1, as data: one table for each block, one `KeyField` for each key.

Decoding, the messages about wrong values and the reference page all read these tables. `KeyField.into` names the
attribute of the dataclass in `editc.core.manifest` if it differs from the key.
"""

from __future__ import annotations

from editc.manifests.value_kinds import (
    CONTEXT,
    NAME,
    PROMPT,
    AttacksValue,
    DetectorValue,
    Edits,
    Flag,
    InnerBlock,
    KeyField,
    KeyTable,
    Layers,
    ListOf,
    Number,
    OneOf,
    PromptList,
    RegistryName,
    SuiteValue,
    Text,
    WholeNumber,
    Wordings,
    WorstValue,
)

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
            "none: preserve only what is named here; left out: the model's own prompts or everyday ones as well",
            only="image",
        ),
        KeyField("concepts", ListOf(NAME), "concepts that must stay, encoded in the same contexts as the edits"),
        KeyField("prompts", ListOf(PROMPT), "prompts that must stay, used as they are", only="image"),
        KeyField("files", ListOf(Text()), "files with one prompt a line, relative to the manifest", only="image"),
        KeyField(
            "weight", Number(0.0, above=True), "how much all that is preserved weighs against the edits", only="image"
        ),
    ),
)
"""The block `preserve`."""
SITES = KeyTable(
    "sites",
    (
        KeyField(
            "roles",
            ListOf(OneOf(("k", "v", "entry", "pooled", *LANGUAGE_ROLES)), min_items=1),
            "which matrices are edited, by role: k and v of cross-attention, entry (where the prompt enters), pooled "
            "(of the pooled embedding); of a language model mlp and attention; left out: the family's own",
        ),
        KeyField(
            "include", ListOf(Text(), min_items=1), "patterns (`*`, `?`) of the parameter names that may be edited"
        ),
        KeyField("exclude", ListOf(Text()), "patterns of the parameter names that are not edited"),
        KeyField(
            "auto",
            Number(0.0, 1.0, above=True),
            "edit the fewest of these sites that carry this share of the concepts, measured on predicted noise",
        ),
        KeyField(
            "layers",
            Layers(),
            "which layers of a language model, counted from 0; auto: chosen by measurement",
            only="language",
        ),
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
            "how much of the concept any embedding may bring back, worst sentence and concept",
            only="image",
        ),
        KeyField(
            "preserve_drift",
            _MAXIMUM,
            "how far the outputs of preserved prompts may move: |W'p - W p| / |W p|, worst site",
            only="image",
        ),
        KeyField("unconditional_drift", _MAXIMUM, "the same for the empty prompt", only="image"),
        KeyField("rank", WholeNumber(1), "the largest rank of the delta"),
        KeyField(
            "discarded", _SHARE, "share of the edit that may be dropped to lower its rank; 0: none of it", only="image"
        ),
        KeyField(
            "bystander_loss",
            _SHARE,
            "share of its pictures or answers that a concept or question not named here may lose",
        ),
        *(
            KeyField(name, _SHARE, doc, only="language", minimum=True)
            for name, doc in (
                ("efficacy", "share of the edited prompts where the new answer is likelier than the old one"),
                ("paraphrase", "the same for their paraphrases"),
                ("neighbourhood", "share of the neighbours whose own answer is still likelier than the new one"),
                ("retain_top1", "share of the tokens of `retain` after which the likeliest next token is unchanged"),
            )
        ),
        KeyField(
            "retain_kl", _MAXIMUM, "mean KL over the tokens of `retain`, before against after, in nats", only="language"
        ),
    ),
)
"""The block `constraints`."""
BYSTANDERS = KeyTable(
    "bystanders",
    (
        KeyField("near", WholeNumber(0, 1000), "how many of the concepts nearest to the edit are painted"),
        KeyField("far", WholeNumber(0, 1000), "how many of the other concepts are painted"),
        KeyField("pictures", WholeNumber(1, 1000), "how many pictures of each, before and after"),
    ),
)
"""The block `verify: {images: {bystanders: ...}}`."""
DETECTOR = KeyTable(
    "detector",
    (
        KeyField("prompts", Wordings(), "sentences about a concept, by its name; left out: made from the name"),
        KeyField("against", ListOf(Text(), min_items=1), "what a picture may show in place of a concept"),
        KeyField(
            "labels",
            Wordings(),
            "the classifier's labels for a concept, by its name; left out: the label with that name",
        ),
        KeyField(
            "threshold",
            Number(0.0, 1.0, above=True),
            "the least probability at which a picture counts as showing a concept",
        ),
    ),
)
"""The keys beside the name of a detector."""
IMAGES = KeyTable(
    "images",
    (
        KeyField("detector", DetectorValue(), "what judges the pictures; none, the default: they are only shown"),
        KeyField("prompts_per_concept", WholeNumber(1, 10_000), "how many pictures of each concept"),
        KeyField("steps", WholeNumber(1, 1000), "denoising steps of a picture"),
        KeyField("guidance", Number(0.0), "how strongly a picture follows its prompt"),
        KeyField("erased_at_most", _SHARE, "share of the pictures of an erased concept that may still show it"),
        KeyField(
            "kept_loss_at_most", _SHARE, "share of the pictures of a preserved concept that may no longer show it"
        ),
        KeyField("share_gap_at_most", _SHARE, "how far any share of `shares: measured` may be from the wanted one"),
        KeyField(
            "bystanders",
            InnerBlock(BYSTANDERS),
            "which concepts that the manifest does not name are painted, and how often",
        ),
    ),
)
"""The block `verify: {images: ...}`."""
WORST_COUNT = WholeNumber(1, 24)
"""How many of the phrasings that ship with editc are reported."""
SUITE = KeyTable(
    "suite",
    (
        KeyField("data", Text(), "tofu-mini, rwku-mini, muse-mini, or a file or folder as published", required=True),
        KeyField("oracle", Text(), "a model that never saw what is forgotten: its folder, or a JSON of its figures"),
        KeyField("chat", Flag(), "put the questions through the model's chat template, as an instruct model expects"),
        KeyField(
            "blows",
            ListOf(RegistryName("editc.registry.blows:BLOWS")),
            "what tries to bring answers back: relearn, rounding, probes",
        ),
        KeyField("forget_quality", _SHARE, "least p-value against the oracle's truth ratios", minimum=True),
        KeyField("model_utility", Number(0.0), "least utility, as a share of the unedited model's", minimum=True),
        KeyField("extraction_strength", _SHARE, "how much of the forgotten answers may still follow from a beginning"),
        KeyField("exact_memorization", _SHARE, "share of their tokens that may still be the first choice"),
        KeyField("forget_said", _SHARE, "share of the forgotten questions that may still be answered right"),
        KeyField("benign_refused", _SHARE, "share of harmless prompts that may be declined"),
    ),
)
"""The keys of `verify: {suite: ...}` where it is a block."""
WORST = KeyTable(
    "worst",
    (
        KeyField("count", WORST_COUNT, "how many phrasings are reported, of 24", required=True),
        KeyField("rounds", WholeNumber(0, 8), "how often the worst are added to the edits' contexts and solved again"),
    ),
)
"""The keys of `verify: {worst: ...}` where it is a block."""
VERIFY = KeyTable(
    "verify",
    (
        KeyField("images", InnerBlock(IMAGES), "pictures before and after, judged by a detector", only="image"),
        KeyField(
            "attacks",
            AttacksValue(),
            "what tries to bring an erased concept back: quick, thorough, or attacks by name",
            only="image",
        ),
        KeyField(
            "worst",
            WorstValue(),
            "how many phrasings are reported, of 24, in which the edits hold worst; `rounds` feeds them back",
            only="language",
        ),
        KeyField("suite", SuiteValue(), "questions of an unlearning benchmark, before and after", only="language"),
    ),
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
        KeyField("verify", InnerBlock(VERIFY), "what is measured on pictures or by a suite of questions"),
        KeyField("retain", PromptList(), "texts that must stay as likely as they are", only="language"),
        KeyField(
            "corpus",
            Text(),
            "a text file from which statistics are taken; left out: the topics of Python's help",
            only="language",
        ),
        KeyField("chat", Flag(), "take keys inside the model's chat template as well", only="language"),
        KeyField(
            "after",
            ListOf(Text()),
            "deltas that the model already contains, by file or id, whose edits must stay",
            only="language",
        ),
        KeyField(
            "emit",
            ListOf(RegistryName("editc.registry.formats:FORMATS")),
            "formats of other programs that are written beside the delta",
        ),
        KeyField("seed", WholeNumber(0, MAX_SEED), "the seed of all random numbers"),
    ),
)
"""The keys of the whole manifest."""
