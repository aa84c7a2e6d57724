"""Let through only deltas that policies admit, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.formats.apply.target import ApplyPlan
from editc.formats.exports.read import read_delta, tensor_file
from editc.signing.check import Signed, TrustedKey, check_signature
from editc.signing.contents import hash_file
from editc.signing.keyless import TrustedIdentity
from editc.signing.keys import read_public_key
from editc.signing.places import statements_place
from editc.signing.policy import Policy
from editc.signing.policy_file import load_policy
from editc.signing.rules import refusal, refuse_claims, refuse_verdict
from editc.signing.stated import read_statements
from editc.signing.statement import Statement


def load_policies(
    policy: Path | None, keys: Sequence[Path], identities: Sequence[TrustedIdentity] = ()
) -> tuple[Policy, ...]:
    """The policy in a file, and one that asks for a signature by one of some keys or identities. A delta must suit
    both."""
    trusted = tuple(TrustedKey(read_public_key(one)) for one in keys)
    given = (Policy(trusted, identities=tuple(identities)),) if trusted or identities else ()
    return given if policy is None else (*given, load_policy(policy))


def read_admitted(path: Path, policies: Sequence[Policy], now: datetime) -> Delta:
    """The delta in a file, if every policy admits it. Raises what reading a delta raises, and E902 to E917.

    The file is hashed again after it was read, so that what was checked is what was read.
    """
    file = tensor_file(path)
    signed = {digest for one in policies for digest in check_signature(file, one.trusted, now).contents.files.values()}
    delta = read_delta(path)
    if signed != {hash_file(file)}:
        raise fail("E907", "the delta changed while it was read", place=str(file), help="run it again")
    _check_rules(
        delta, str(path), policies, lambda one: read_statements(statements_place(file), file, one.trusted, now)
    )
    return delta


def check_admitted(
    path: Path, delta: Path, policies: Sequence[Policy], now: datetime, signature: Path | None = None
) -> Signed:
    """The signature of a file or folder whose delta every policy admits, with what is stated about the delta. `delta`:
    the file in it that holds the delta; `signature`: the file of the signature, if it lies elsewhere. Raises as
    `read_admitted` does."""
    beside = statements_place(delta, signature)
    found = [check_signature(path, policy.trusted, now, signature) for policy in policies]
    stated = [read_statements(beside, delta, policy.trusted, now) for policy in policies]
    if any(policy.source is not None for policy in policies):
        _check_rules(read_delta(delta), str(delta), policies, lambda one: stated[policies.index(one)])
    return replace(found[0], stated=stated[0])


def _check_rules(
    delta: Delta, place: str, policies: Sequence[Policy], stated: Callable[[Policy], Sequence[Statement]]
) -> None:
    """Raises E912 to E914 and E916, each rule of each policy that the delta does not keep. `stated`: what those say
    whom a policy trusts."""
    found = [one for policy in policies for one in refuse_claims(delta, policy, place)]
    for policy in policies:
        found += refuse_verdict(stated(policy), policy, place) if policy.verdict else ()
    if found:
        raise EditcError(*found)


def check_tier(plan: ApplyPlan, policies: Sequence[Policy]) -> None:
    """Raises E915 if the model is further from the base than a policy allows."""
    for policy in policies:
        if policy.tiers and plan.status == "ready" and plan.tier not in policy.tiers:
            message = f"the model is {plan.tier} for the delta, and the policy asks for {' or '.join(policy.tiers)}"
            help_text = "apply it to the base that it was built on, or change the policy"
            raise EditcError(refusal(policy, "tiers", "E915", message, plan.model.place, help_text, "model"))
