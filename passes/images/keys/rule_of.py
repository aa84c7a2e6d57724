"""Looking up the key rule of a plan."""

from __future__ import annotations

from editc.core.plan import Plan
from editc.passes.images.keys.rules.rule import KeyRule
from editc.registry.key_rules import KEY_RULES


def rule_of(plan: Plan) -> KeyRule:
    """Return the key rule that all edits of a manifest share. Raises E139 where its package cannot be imported."""
    rule: KeyRule = KEY_RULES.resolve(plan.manifest.keys)
    return rule
