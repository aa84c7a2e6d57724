"""The shape of a policy as data: its keys."""

from __future__ import annotations

from editc.formats.apply.target import TIERS
from editc.manifests.value_kinds import InnerBlock, KeyField, KeyTable, ListOf, NodeValue, OneOf, Text, WholeNumber

VERSION = 1
"""The version of policies that this editc reads: the value of the key `policy`."""
ACCEPTED = OneOf(("green", "amber", "red"))
"""The worst state that a line of the verdict may have. `red` only asks that the line is stated."""
LIMITS = NodeValue("a block of names with a number each")
"""What stands under `at_most`, `at_least` and `attacks`."""
KEY = KeyTable(
    "key",
    (
        KeyField("id", Text(), "what messages and `revoked` call the key", required=True),
        KeyField("file", Text(), "the file of the public key, from the policy's folder", required=True),
        KeyField("not_before", Text(), "the first day on which its signatures are accepted"),
        KeyField("not_after", Text(), "the last day on which its signatures are accepted"),
    ),
)
"""One of `keys`."""
IDENTITY = KeyTable(
    "identity",
    (
        KeyField("identity", Text(), "an email address, or the address of a workflow", required=True),
        KeyField("issuer", Text(), "the address of the OpenID provider that vouches for it", required=True),
        KeyField("trust", Text(), "the trust configuration of another instance of Sigstore, from the policy's folder"),
    ),
)
"""One of `identities`."""
VERDICT = KeyTable(
    "verdict",
    (
        KeyField("works", ACCEPTED, "the worst state that `Works?` may have"),
        KeyField("costs", ACCEPTED, "the worst state that `Costs?` may have"),
        KeyField("robust", ACCEPTED, "the worst state that `Robust?` may have"),
    ),
)
"""The block `verdict`."""
POLICY = KeyTable(
    "policy",
    (
        KeyField("policy", WholeNumber(), "version of the policy language: 1", required=True),
        KeyField("keys", NodeValue("a list of keys"), "the keys that may have signed"),
        KeyField("identities", NodeValue("a list of identities"), "the identities that may have signed without a key"),
        KeyField("revoked", ListOf(Text()), "keys that may not, by id or fingerprint"),
        KeyField("detectors", ListOf(Text(), min_items=1), "sha256 of the detectors that may have judged"),
        KeyField("at_most", LIMITS, "claims that the delta must make, and the most that each may say"),
        KeyField("at_least", LIMITS, "claims that the delta must make, and the least that each may say"),
        KeyField("attacks", LIMITS, "attacks that must have run, and the share that each may bring back at most"),
        KeyField("tiers", ListOf(OneOf(TIERS), min_items=1), "how close the model must be to the base"),
        KeyField("verdict", InnerBlock(VERDICT), "the worst states that the lines of the verdict may have"),
    ),
)
"""The keys of a policy."""
