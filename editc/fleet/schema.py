"""The shape of a plan as data: its keys, and which of them each verb takes."""

from __future__ import annotations

from collections.abc import Mapping

from editc.manifests.schema import MAX_SEED
from editc.manifests.value_kinds import Flag, KeyField, KeyTable, ListOf, OneOf, Text, WholeNumber

VERSION = 1
"""The version of plans that this editc reads: the value of the key `fleet`."""
INPUT_KEYS: Mapping[str, str] = {
    "build": "manifests",
    "apply": "deltas",
    "verify": "deltas",
    "attack": "deltas",
}
"""Verb -> the key that lists what it is done with, over each model."""
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "build": ("set",),
    "apply": ("allow_finetune", "link", "policy", "requantize", "require_signature"),
    "verify": ("allow_finetune", "detector"),
    "attack": ("allow_finetune", "attacks", "detector", "seed"),
}
"""Verb -> the keys of a plan that it takes as options. Each has the meaning of the command's own option."""
PLAN = KeyTable(
    "plan",
    (
        KeyField("fleet", WholeNumber(), "version of the plan language: 1", required=True),
        KeyField("do", OneOf(tuple(INPUT_KEYS)), "what is done in each cell", required=True),
        KeyField("manifests", ListOf(Text()), "manifests to build, or patterns of them (`edits/*.yaml`)"),
        KeyField("deltas", ListOf(Text()), "deltas or folders of builds, or patterns of them (`out/*`)"),
        KeyField(
            "models",
            ListOf(Text()),
            "models, as `--model` takes them, or patterns of folders and files",
            required=True,
        ),
        KeyField("set", ListOf(Text(verbatim=True)), "build: overrides of every manifest, KEY=VALUE"),
        KeyField("allow_finetune", Flag(), "apply, verify, attack: accept a fine-tune of the base too"),
        KeyField("link", Flag(), "apply: hard-link large files that do not change"),
        KeyField("requantize", Flag(), "apply: edit quantised weights too"),
        KeyField("policy", Text(), "apply: the file of a policy that every delta must suit"),
        KeyField(
            "require_signature", ListOf(Text(), min_items=1), "apply: public keys, one of which signed each delta"
        ),
        KeyField("detector", Text(), "verify, attack: judge the pictures with this detector"),
        KeyField("attacks", Text(), "attack: quick, thorough, or attacks written as for `editc attack`"),
        KeyField("seed", WholeNumber(0, MAX_SEED), "attack: other random numbers than the manifest's"),
    ),
)
"""The keys of a plan."""
