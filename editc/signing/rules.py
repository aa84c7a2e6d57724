"""What a policy asks of what a delta says about itself: detector, claims and attacks. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import Diagnostic
from editc.core.text import count
from editc.core.verdict import STATES
from editc.formats.delta.parts import parts
from editc.signing.envelope import show
from editc.signing.policy import Policy
from editc.signing.results import RESULT, stated_verdict
from editc.signing.statement import Statement

ATTACKED = ("erase", "replace")
"""Kinds of edits whose concept an attack tries to bring back."""
BUILD_AGAIN = "ask for a delta that was built with it, or change the policy"
"""Help for evidence that a delta does not have."""


def refuse_claims(delta: Delta, policy: Policy, place: str) -> Iterator[Diagnostic]:
    """Each way in which a delta does not do what the policy asks, for every part of a linked delta: E912 to E914."""
    for part in parts(delta):
        yield from _detector(part, policy, place)
        yield from _limits(part, policy, place)
        yield from _attacks(part, policy, place)


def refusal(
    policy: Policy, field: str, code: str, message: str, place: str, help_text: str, what: str = "delta"
) -> Diagnostic:
    """A diagnostic that underlines the rule of the policy, and names the delta or what else breaks it."""
    span = policy.spans.get(field) or policy.at()
    if policy.source is None or span is None:
        return Diagnostic(code, message, place=place, help=help_text)
    return Diagnostic(code, message, span, policy.source, help=help_text, notes=(f"the {what} is {place}",))


def refuse_verdict(statements: Iterable[Statement], policy: Policy, place: str) -> Iterator[Diagnostic]:
    """E916 for each line of the verdict that is worse than the policy accepts, or that nobody states."""
    stated = next((one.predicate.get("verdict") for one in statements if one.kind == RESULT), None)
    known = stated_verdict(stated)
    for line, worst in policy.verdict.items():
        state = known.get(line)
        if state is None:
            message = f"no signed statement says what `{line}` comes to"
            help_text = "ask for the statements beside the delta, or sign the folder of the build again"
        elif STATES.index(state) < STATES.index(worst):
            message = f"`{line}` is {state}, and the policy asks for {worst}"
            help_text = "report.html says why; ask for another edit, or change the policy"
        else:
            continue
        yield refusal(policy, f"verdict.{line}", "E916", message, place, help_text)


def _detector(part: Delta, policy: Policy, place: str) -> Iterator[Diagnostic]:
    """E912 if another detector judged, or none."""
    if not policy.detectors:
        return
    identity = part.extra.get("detector")
    known = identity if isinstance(identity, Mapping) else {}
    if known.get("sha256") in policy.detectors:
        return
    judged = f"the detector {show(known.get('name', '?'))}, {show(known.get('sha256', 'of no hash'))}, judged the delta"
    message = judged if known else "no detector judged the delta"
    yield refusal(policy, "detectors", "E912", message, place, BUILD_AGAIN)


def _limits(part: Delta, policy: Policy, place: str) -> Iterator[Diagnostic]:
    """E913 for claims that are beyond a limit, and for those that the delta does not make."""
    for field, limits, bad in (("at_most", policy.at_most, inf), ("at_least", policy.at_least, -inf)):
        for name, limit in limits.items():
            mine = [one for one in part.claims if one.get("name") == name]
            values = [(_number(one.get("value"), bad), str(one.get("subject", ""))) for one in mine]
            worst = (max if field == "at_most" else min)(values, default=None)
            if worst is None:
                message, help_text = f"the delta does not say {show(name)}", BUILD_AGAIN
            elif worst[0] > limit if field == "at_most" else worst[0] < limit:
                subject = f" of {show(worst[1])}" if worst[1] else ""
                words = field.replace("_", " ")
                message = f"{show(name)}{subject} is {worst[0]:g}, and the policy asks for {words} {limit:g}"
                help_text = "ask for an edit that costs less, or change the policy"
            else:
                continue
            yield refusal(policy, f"{field}.{name}", "E913", message, place, help_text)


def _attacks(part: Delta, policy: Policy, place: str) -> Iterator[Diagnostic]:
    """E914 for attacks that did not run on an edited concept, that say nothing, or that bring it back too often."""
    recorded = part.extra.get("attacks")
    ran = [one for one in recorded if isinstance(one, Mapping)] if isinstance(recorded, list | tuple) else []
    wanted = [str(edit.get("concept", "")) for edit in part.edits if edit.get("kind") in ATTACKED]
    for name, limit in policy.attacks.items():
        mine = [one for one in ran if one.get("attack") == name]
        for concept in wanted or [""]:
            on = [one for one in mine if not concept or one.get("concept") == concept]
            message = _fault(name, concept, on, limit)
            if message:
                yield refusal(policy, f"attacks.{name}", "E914", message, place, BUILD_AGAIN)


def _fault(name: str, concept: str, results: Sequence[Mapping[str, Any]], limit: float) -> str:
    """What is wrong with the results of one attack on one concept; empty if nothing is."""
    target = f" on {show(concept)}" if concept else ""
    if not results:
        return f"the attack {show(name)} did not run{target}"
    for one in results:
        shown, of, control = (_whole(one.get(key)) for key in ("shown", "of", "control"))
        if not 2 * control >= of > 0:
            pictures = count(of, "picture")
            return (
                f"the attack {show(name)}{target} says nothing: it succeeds in {control} of {pictures} before the edit"
            )
        if shown > limit * of:
            return f"the attack {show(name)}{target} succeeds in {shown} of {of} pictures, more than {limit:g} of them"
    return ""


def _number(value: object, otherwise: float) -> float:
    """A finite number; `otherwise` for anything else."""
    return float(value) if isinstance(value, int | float) and abs(value) < inf else otherwise


def _whole(value: object) -> int:
    """A count of pictures; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
