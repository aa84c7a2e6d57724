"""One edit solved with one target, at a weight of what is kept that erases: what it costs the neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Constraints, Request
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.problem import Problem
from editc.core.solution import Edit
from editc.passes.images.keys.derive import Derive
from editc.passes.images.keys.name_signals import Signals
from editc.passes.images.keys.preserved import count_base_prompts, default_weight
from editc.passes.images.keys.rule_of import rule_of
from editc.passes.images.solve.solve import Solve

GONE = 0.5
"""A concept that moves so far, in parts of what sets it apart, is gone from pictures (docs/measurements/suggest.md)."""
AT_RISK = 0.5
"""A name that moves more may be lost from pictures (docs/measurements/suggest.md)."""
SURELY_GONE = 1.1
"""A concept that moves so far is gone whatever its target: needed before what is kept is given more weight."""
LOWER_WEIGHTS, HIGHER_WEIGHTS = (0.5, 0.25, 0.125), (2.0, 4.0, 8.0)
"""Weights of what is kept that are tried beside the manifest's own or the default, in multiples of it."""


@dataclass(frozen=True)
class NameMovement:
    """A name, and how far the edit moves it."""

    name: str
    """It."""
    movement: float
    """See `Signals.movement`: 0 stays as it is, 1 loses all that sets it apart."""


@dataclass(frozen=True)
class TargetTrial:
    """An edit solved with one target."""

    to: str | None
    """The target; None: as the manifest has it."""
    likeness: float
    """The cosine of concept and target before the edit."""
    weight: float
    """Of what is preserved."""
    usual: bool
    """True where that weight is the manifest's own or the default."""
    own: float
    """The concept's movement at the mean of the rows after the text."""
    moved: tuple[NameMovement, ...]
    """Every other name's movement, the larger of its two, furthest first."""

    @property
    def worst(self) -> float:
        """The largest movement, 0 where there is nothing to move."""
        return self.moved[0].movement if self.moved else 0.0

    @property
    def gone(self) -> bool:
        """True when the concept moves far enough to be gone."""
        return self.own >= GONE

    @property
    def safe(self) -> bool:
        """True when no name is at risk."""
        return self.worst <= AT_RISK

    @property
    def cost(self) -> float:
        """The mean of the three largest movements: one alone may be a word for the whole kind, which has to move."""
        largest = [one.movement for one in self.moved[:3]]
        return sum(largest) / max(1, len(largest))

    @property
    def rank(self) -> tuple[bool, bool, float, str]:
        """What trials are sorted by: the concept gone or not, a target named or none, the cost, the name."""
        return (not self.gone, not self.to, self.cost if self.gone else -self.own, self.to or "")


@dataclass(frozen=True)
class TargetTrials:
    """Where the targets of one edit are tried."""

    plan: Plan
    """The plan of the manifest."""
    request: Request
    """The edit."""
    ctx: Context
    """Its ports."""
    corpus: Sequence[str]
    """The prompts that are preserved by default."""
    signals: Signals
    """Of all names."""
    compared: tuple[str, ...]
    """The names whose movement counts."""
    gram: Array
    """sum_l W_l^T W_l (d, d) over the sites."""

    def try_target(self, to: str) -> TargetTrial:
        """The edit with that target, at the weight nearest the usual at which it erases and puts no name at risk.

        The weight falls only until the concept is gone, and rises only while it is surely gone.
        """
        problem = self._problem(replace(self.request, kind="erase", to=to, toward=()))
        best = self._trial(problem, to, 1.0)
        if not best.gone:
            lower = (self._trial(problem, to, factor) for factor in LOWER_WEIGHTS)
            return next((one for one in lower if one.gone), best)
        for factor in HIGHER_WEIGHTS if not best.safe else ():
            trial = self._trial(problem, to, factor)
            if trial.own < SURELY_GONE:
                break
            best = trial
            if best.safe:
                break
        return best

    def try_as_is(self) -> TargetTrial:
        """The edit of the manifest, at its own weight."""
        return self._trial(self._problem(self.request), None, 1.0)

    def with_preserved(self, names: Sequence[str]) -> TargetTrials:
        """The same with these concepts preserved as well as what is kept now."""
        manifest = self.plan.manifest
        preserve = replace(manifest.preserve, concepts=tuple(dict.fromkeys([*manifest.preserve.concepts, *names])))
        return replace(self, plan=replace(self.plan, manifest=replace(manifest, preserve=preserve)))

    @property
    def weight(self) -> float:
        """What is kept weighs this much: the manifest's own weight, or the one that a build of this edit would use."""
        manifest = replace(self.plan.manifest, edits=(self.request,))
        plan = replace(self.plan, manifest=manifest)
        return manifest.preserve.weight or default_weight(plan, rule_of(plan), count_base_prompts(plan, self.corpus))

    def _problem(self, request: Request) -> Problem:
        request = replace(request, strength=1.0 if request.strength == "auto" else request.strength)
        manifest = replace(self.plan.manifest, edits=(request,), constraints=Constraints())
        problem = Derive(self.corpus)(replace(self.plan, manifest=manifest), self.ctx)
        return replace(problem, systems={"text": replace(problem.systems["text"], gram=self.gram)})

    def _trial(self, problem: Problem, to: str | None, factor: float) -> TargetTrial:
        system, names = problem.systems["text"], self.signals.names
        kept = replace(system.preserved, moment=factor * system.preserved.moment)
        edit = self._solve(replace(problem, systems={"text": replace(system, preserved=kept)}))
        by_row = self.signals.movement(edit, system.total_gram())
        most = dict(zip(names, by_row.max(axis=1).tolist(), strict=True))
        moved = sorted(
            (NameMovement(name, most[name]) for name in self.compared), key=lambda one: (-one.movement, one.name)
        )
        own = float(by_row[names.index(self.request.concept), 1])
        likeness = 0.0 if to is None else self.signals.cosine(self.request.concept, to)
        return TargetTrial(to, likeness, factor * self.weight, factor == 1.0, own, tuple(moved))

    def _solve(self, problem: Problem) -> Edit:
        edit = Solve()(problem, self.ctx).edits["text"]
        if edit.form != "shared":
            raise EditcError(_not_shared(problem.plan))
        return edit


def _not_shared(plan: Plan) -> Diagnostic:
    request = plan.manifest.image_edits[0]
    place = "technique" if "technique" in request.options else "method"
    return Diagnostic(
        "E341",
        "suggest compares targets by one multiplier that all sites share, and this method makes another kind of edit",
        request.at(place),
        plan.manifest.source,
        help="leave the method out to see what editc suggests; names and targets hold for any method",
    )
