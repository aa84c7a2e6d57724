"""A delta taken at its word: the problem, the solution and the claims that it records, to be measured again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from editc import registry
from editc.diagnostics import Diagnostic, EditcError, fail
from editc.formats.delta_check import check_account
from editc.ir import Delta, Edit, Plan, Problem, Solution, Stats, Verified
from editc.manifests.decode import decode
from editc.request import Manifest, Source

TOLERANCE = 1e-6
"""Claims are sums in float64 over equal weights: machines may differ in their last digits and no more."""
SHARES = frozenset({"attacked", "erased", "kept_loss", "shown_before"})
"""Claims by pictures: painting in float32 differs between machines, so these only answer to their bounds."""


def recorded_manifest(delta: Delta, path: Path) -> Manifest:
    """The manifest inside the delta, with the overrides and kept prompts that went in; raises what decoding finds, and
    E696 for a delta whose account of itself is not one."""
    check_account(delta, str(path))
    source = Source(f"{path}#manifest", delta.manifest, tuple(delta.extra.get("set", ())))
    manifest, found = decode(source)
    if manifest is None:
        raise EditcError(*found)
    choice = replace(manifest.choice, auto=None)  # the sites are those recorded
    return replace(manifest, choice=choice, kept=tuple(delta.extra.get("kept", ())))


def recorded_plan(delta: Delta, manifest: Manifest, model: str) -> Plan:
    """The plan that the delta's sites are."""
    if delta.family not in registry.names("family"):
        raise fail("E201", f"the delta's family `{delta.family}` is not one of this version's", place=model)
    sites = tuple(record.site for record in delta.sites)
    return Plan(manifest, registry.resolve("family", delta.family), model, sites, {s.name: "recorded" for s in sites})


def recorded_solution(delta: Delta, problem: Problem) -> Solution:
    """The delta's factors as the solution of `problem`; what the solve said of itself is taken from its claims."""
    said = {claim["name"]: float(claim["value"]) for claim in delta.claims}
    edits = {}
    for group, part in delta.factors.items():
        rank = max((len(right) for right in part.right), default=0)
        condition, residual = said.get("condition", float("nan")), said.get("solve_residual", float("nan"))
        stats = Stats(condition, residual, rank, said.get("discarded", 0.0))
        left, right = (tuple(np.asarray(f, np.float64) for f in side) for side in (part.left, part.right))
        edits[group] = Edit(part.form, left, right, stats)
    methods = tuple({"method": edit["method"], "options": edit["options"]} for edit in delta.edits)
    return Solution(problem, edits, methods, tuple(float(edit["strength"]) for edit in delta.edits))


def disagreements(delta: Delta, verified: Verified) -> tuple[Diagnostic, ...]:
    """E507 for every claim of numbers that does not come out as the delta records it."""
    measured = {(claim.name, claim.subject): claim.value for claim in verified.report.claims}
    return tuple(_differing(delta, measured))


def _differing(delta: Delta, measured: dict[tuple[str, str], float]) -> Iterator[Diagnostic]:
    for claim in delta.claims:
        name, subject = claim["name"], claim.get("subject", "")
        if name in SHARES or name.startswith(("toward", "kept")):
            continue
        value = measured.get((name, subject))
        if value is None or abs(value - claim["value"]) > TOLERANCE * max(1.0, abs(claim["value"])):
            what = f"{name} of `{subject}`" if subject else name
            found = "cannot be measured" if value is None else f"is {value:.9g}"
            yield Diagnostic(
                "E507",
                f"the delta claims that {what} is {claim['value']:.9g}; on this model it {found}",
                place=delta.delta_id[:12],
                help="do not ship it: build it again from its manifest",
            )
