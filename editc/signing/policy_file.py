"""From the text of a policy to a `Policy`, or to everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.places import Source, Span
from editc.manifests.decode import decode_block, read_source
from editc.manifests.faults import Faults, list_words, tick
from editc.manifests.fields import BlockValues, read_strict_block
from editc.manifests.scalars import read_scalar, report_wrong_type
from editc.manifests.tree import Items, Node, Pairs
from editc.manifests.value_kinds import Number, Text
from editc.signing import policy_schema as schema
from editc.signing.check import TrustedKey
from editc.signing.keyless import TrustedIdentity
from editc.signing.keys import read_public_key
from editc.signing.policy import Policy
from editc.signing.statement import is_sha256


def load_policy(path: Path) -> Policy:
    """The policy in a file. Raises EditcError with everything that is wrong with it, E100 if it cannot be read."""
    policy, found = decode_policy(read_source(path, "policy"), path.absolute().parent)
    if policy is None:
        raise EditcError(*found)
    return policy


def decode_policy(source: Source, folder: Path) -> tuple[Policy | None, tuple[Diagnostic, ...]]:
    """The policy in a text, and everything that is wrong with it. None if something is. `folder`: where the paths of
    keys begin."""
    return decode_block(
        source, "policy", schema.POLICY, lambda block, faults: _read_policy(block, source, folder, faults)
    )


def _read_policy(block: BlockValues, source: Source, folder: Path, faults: Faults) -> Policy:
    """The policy from its block."""
    version = block.values.get("policy")
    if version not in (None, schema.VERSION):
        message = f"this is policy version {version}; this editc reads version {schema.VERSION}"
        faults.add("E110", message, block.spans.get("policy"), help=f"write `policy: {schema.VERSION}`")
    spans, limits = dict(block.spans), {}
    for name in ("at_most", "at_least", "attacks"):
        limits[name] = _read_limits(block.values.get(name), name, spans, faults)
    detectors = _read_detectors(block, faults)
    verdict = block.values.get("verdict") or BlockValues()
    spans |= {f"verdict.{name}": span for name, span in verdict.spans.items() if name}
    keys = _revoke(tuple(_read_keys(block.values.get("keys"), folder, faults)), block, faults)
    identities = tuple(_read_identities(block.values.get("identities"), folder, faults))
    if "keys" not in block.spans and "identities" not in block.spans:
        help_text = "add `keys` or `identities`, or nothing can be applied"
        faults.add("E104", "the policy names neither `keys` nor `identities`", block.spans[""], help=help_text)
    tiers = block.values.get("tiers", ())
    return Policy(
        keys,
        source,
        detectors,
        tiers=tiers,
        verdict=MappingProxyType(verdict.values),
        identities=identities,
        spans=spans,
        at_most=limits["at_most"],
        at_least=limits["at_least"],
        attacks=limits["attacks"],
    )


def _read_keys(node: Node | None, folder: Path, faults: Faults) -> Iterator[TrustedKey]:
    """The keys in a list of blocks. E103 for one that is given twice."""
    if node is None:
        return
    if not isinstance(node, Items):
        report_wrong_type(node, "`keys`", "a list of keys", faults, help="write a `- id: ...` for each")
        return
    if not node.items:
        faults.add("E107", "`keys` is an empty list", node.span, help="name at least one, or nothing can be applied")
    first: dict[str, Span] = {}
    for item in node.items:
        block = read_strict_block(item, schema.KEY, faults)
        key = None if block is None else _read_key(block, folder, faults)
        if key is None or block is None:
            continue
        for what, text in (("id", key.public.name), ("file", key.public.fingerprint)):
            if text in first:
                message = f"the key {tick(key.public.name)} is given twice"
                faults.add("E103", message, block.spans[what], related=[(first[text], "first given here")])
            first.setdefault(text, block.spans[what])
        yield key


def _read_identities(node: Node | None, folder: Path, faults: Faults) -> Iterator[TrustedIdentity]:
    """The identities in a list of blocks."""
    if node is None:
        return
    if not isinstance(node, Items):
        report_wrong_type(
            node, "`identities`", "a list of identities", faults, help="write a `- identity: ...` for each"
        )
        return
    if not node.items:
        faults.add("E107", "`identities` is an empty list", node.span, help="name at least one, or remove it")
    for item in node.items:
        block = read_strict_block(item, schema.IDENTITY, faults)
        if block is not None and {"identity", "issuer"} <= block.values.keys():
            trust = block.values.get("trust")
            config = None if trust is None else folder / trust
            yield TrustedIdentity(block.values["identity"], block.values["issuer"], config)


def _read_key(block: BlockValues, folder: Path, faults: Faults) -> TrustedKey | None:
    """One key. None if it cannot be read; the faults then say why."""
    start, end = (_read_day(block, name, faults) for name in ("not_before", "not_after"))
    if start and end and start > end:
        faults.add("E106", "`not_after` is before `not_before`", block.spans["not_after"])
    if not {"id", "file"} <= block.values.keys():
        return None
    try:
        public = read_public_key(folder / block.values["file"], block.values["id"])
    except EditcError as error:
        for one in error.diagnostics:
            notes = (*one.notes, f"in {one.place}") if one.place else one.notes
            faults.add(one.code, one.message, block.spans["file"], help=one.help, notes=notes)
        return None
    return TrustedKey(public, start, None if end is None else end + timedelta(days=1))


def _read_day(block: BlockValues, name: str, faults: Faults) -> datetime | None:
    """The beginning of a day, in UTC. None where none is given."""
    text = block.values.get(name)
    if text is None:
        return None
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
        if day is not None and day < date.max:
            return datetime.combine(day, time(), UTC)
    except ValueError:
        pass
    message = f"{tick(name)} must be a day such as 2026-12-31, not {tick(text)}"
    faults.add("E106", message, block.spans[name], help="write year, month and day")
    return None


def _revoke(keys: Sequence[TrustedKey], block: BlockValues, faults: Faults) -> tuple[TrustedKey, ...]:
    """The keys, those that are revoked marked. E106 for what names no key and is no fingerprint: it would revoke
    nothing."""
    known, gone = {one.public.name for one in keys}, block.values.get("revoked", ())
    for number, text in enumerate(gone):
        if text not in known and not is_sha256(text):
            message = f"{tick(text)} is neither the id of a key nor a fingerprint"
            help_text = f"ids here: {list_words(sorted(known), 'and')}" if known else "a fingerprint has 64 digits"
            faults.add("E106", message, block.spans[f"revoked.{number}"], help=help_text)
    return tuple(replace(one, revoked=bool({one.public.name, one.public.fingerprint} & {*gone})) for one in keys)


def _read_detectors(block: BlockValues, faults: Faults) -> tuple[str, ...]:
    """The hashes of detectors. E106 for what is no sha256."""
    found: tuple[str, ...] = block.values.get("detectors", ())
    for number, text in enumerate(found):
        if not is_sha256(text):
            message = f"{tick(text)} is not the sha256 of a detector"
            help_text = "write the 64 digits that report.json has under `detector`"
            faults.add("E106", message, block.spans[f"detectors.{number}"], help=help_text)
    return found


def _read_limits(node: Node | None, name: str, spans: dict[str, Span], faults: Faults) -> Mapping[str, float]:
    """Names with a number each. Their places are added to `spans` as `at_most.NAME`."""
    if node is None:
        return {}
    if not isinstance(node, Pairs):
        report_wrong_type(node, tick(name), schema.LIMITS.expects, faults, help=f"write {name}: {{NAME: 0.1}}")
        return {}
    if not node.pairs:
        faults.add("E107", f"{tick(name)} is empty", node.span, help="name at least one, or remove it")
    kind, found = Number(0.0, 1.0) if name == "attacks" else Number(), dict[str, float]()
    for key, value in node.pairs:
        text: Any = read_scalar(key, Text(), f"a name in {tick(name)}", faults)
        number: Any = read_scalar(value, kind, tick(key.text), faults, required=True)
        if text is not None and number is not None:
            found[text] = number
            spans[f"{name}.{text}"] = value.span
    return MappingProxyType(found)
