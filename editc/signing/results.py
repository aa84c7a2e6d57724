"""The statement of what was measured: an in-toto test result, version 0.1, from what the delta and its report record.
https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from editc.core.delta import Delta
from editc.core.verdict import QUESTIONS, STATES
from editc.formats.containers.canonical import strict_json
from editc.formats.delta.parts import parts
from editc.signing.provenance import attacks_of
from editc.signing.statement import Statement

RESULT = "https://in-toto.io/attestation/test-result/v0.1"
"""The type of the predicate."""
LINES = tuple(question.rstrip("?").lower() for question in QUESTIONS)
"""The lines of the verdict, as report.json names them."""
ATTACK_FIELDS = ("attack", "access", "concept", "shown", "of", "control", "seed", "budget")
"""What is stated of an attack."""
MAX_REPORT = 64 << 20
"""The largest report.json that is read."""


def state_results(delta: Delta, subject: Mapping[str, str], verdict: Mapping[str, str]) -> Statement:
    """What was measured: each claim with its bound, the detectors, the attacks, and the verdict if it is known.
    `subject`: name and sha256 of the delta's file."""
    made = parts(delta)
    claims = [_claim(one) for one in delta.claims]
    bounded = [one for one in claims if "holds" in one]
    attacks = [{key: one[key] for key in ATTACK_FIELDS if key in one} for part in made for one in attacks_of(part)]
    said: dict[str, list[str]] = {
        "passedTests": [_title(one) for one in bounded if one["holds"]],
        "warnedTests": [f"{one['attack']} on {one['concept']}" for one in attacks if not _tells(one)],
        "failedTests": [_title(one) for one in bounded if not one["holds"]],
    }
    result = "FAILED" if said["failedTests"] else "WARNED" if said["warnedTests"] else "PASSED"
    digests = [part.manifest_digest for part in made if part.manifest_digest]
    configuration = [{"name": "manifest", "digest": {"sha256": digest}} for digest in digests]
    evidence = {"claims": claims, "attacks": attacks, "detectors": [part.extra.get("detector") or {} for part in made]}
    stated = {"verdict": dict(verdict)} if verdict else {}
    return Statement(subject, RESULT, {"result": result, "configuration": configuration, **said, **evidence, **stated})


def read_verdict(report: Path, delta: Delta) -> Mapping[str, str]:
    """Line of the verdict -> state, from the report.json of this delta. Empty where there is none, or another's."""
    try:
        if report.stat().st_size > MAX_REPORT:
            return {}
        found = strict_json(report.read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or found.get("delta_id") != delta.delta_id:
        return {}
    return stated_verdict(found.get("verdict"))


def stated_verdict(value: Any) -> Mapping[str, str]:
    """Line -> state, from a verdict as JSON has it: each line as its state, or as a block with one. Lines that are
    missing or odd are left out."""
    found = {}
    for line in LINES if isinstance(value, dict) else ():
        one = value.get(line)
        state = one.get("state") if isinstance(one, dict) else one
        if state in STATES[:3]:
            found[line] = str(state)
    return found


def _claim(claim: Mapping[str, Any]) -> dict[str, Any]:
    """A claim as the delta records it, with whether its bound holds if it has one."""
    value, bound = claim.get("value"), claim.get("bound")
    if not isinstance(value, int | float) or not isinstance(bound, int | float):
        return dict(claim)
    return {**claim, "holds": value >= bound if claim.get("least") else value <= bound}


def _title(claim: Mapping[str, Any]) -> str:
    """What a test is called: the claim, and what it was measured of."""
    subject = claim.get("subject")
    return f"{claim.get('name')} of {subject}" if subject else str(claim.get("name"))


def _tells(attack: Mapping[str, Any]) -> bool:
    """True where the attack succeeds on the unedited model, so that it says something."""
    of, control = attack["of"], attack["control"]
    return isinstance(of, int) and isinstance(control, int) and 2 * control >= of > 0
