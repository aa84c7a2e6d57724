"""Run the attacks of a manifest on a solution, whether it was just built or comes from a delta."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from editc.core.delta import Array
from editc.core.measurements import AttackResult
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.solution import Solution
from editc.passes.images.attacks.run import MOST_OTHERS, run_attacks
from editc.passes.images.edit_kind import part_of
from editc.passes.images.method import blind_attacks
from editc.passes.images.verify.bystanders import BystanderChooser
from editc.passes.stored import StoredWeights


def attack_solution(
    solution: Solution, ctx: Context, others: Sequence[str] = (), changed: Mapping[str, Array] | None = None
) -> tuple[AttackResult, ...]:
    """Return what each attack of the manifest makes of each erased concept; () where it asks for none.

    `others` are names that the other deltas of a link edit. `changed` has the edited weights by parameter name; without
    it those of every site are computed.
    """
    plan = solution.problem.plan
    if not plan.manifest.attacks:
        return ()
    chosen = BystanderChooser(solution, ctx, others).choose(further=MOST_OTHERS)
    targets = (edit.to for edit in plan.manifest.image_edits if edit.to)
    names = tuple(dict.fromkeys((*plan.manifest.preserve.concepts, *(one.name for one in chosen), *targets)))
    harmless = max((system.preserved.prompts for system in solution.problem.systems.values()), key=len)
    after = changed if changed is not None else StoredWeights(solution, frozenset(site.name for site in plan.sites))
    return run_attacks(_without_blind_attacks(plan), ctx, after, names, harmless)


def _without_blind_attacks(plan: Plan) -> Plan:
    """Return the plan without the attacks that cannot see its edits. Their results are missing, which E513 says."""
    blind = blind_attacks(part_of(plan.manifest))
    attacks = tuple(one for one in plan.manifest.attacks if one.name not in blind)
    return replace(plan, manifest=replace(plan.manifest, attacks=attacks))
