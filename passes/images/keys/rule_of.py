"""The key rule of a plan: the one place where its name is looked up."""

from __future__ import annotations

from editc.core.plan import Plan
from editc.passes.images.keys.rules.rule import KeyRule
from editc.registry.key_rules import KEY_RULES


def rule_of(plan: Plan) -> KeyRule:
    """The rule that all edits of a manifest share: they are solved jointly. E139 for one that cannot be imported."""
    rule: KeyRule = KEY_RULES.resolve(plan.manifest.keys)
    return rule
