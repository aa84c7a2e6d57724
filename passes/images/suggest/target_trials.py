"""Trying targets: solve one edit with one target, at a weight that erases, and measure what its neighbours lose."""

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
"""A concept with this movement (`Signals.movement`) or more is gone from pictures (docs/measurements/suggest.md)."""
AT_RISK = 0.5
"""A neighbour with a larger movement may be lost from pictures (docs/measurements/suggest.md)."""
SURELY_GONE = 1.1
"""A concept with this movement or more is gone with any target; only then are larger weights tried. Chosen by hand: in
docs/measurements/suggest.md, a concept that moved by 1.00 was still in 8 % of the pictures."""
LOWER_WEIGHTS, HIGHER_WEIGHTS = (0.5, 0.25, 0.125), (2.0, 4.0, 8.0)
"""Weights of what is preserved that are tried, as multiples of the manifest's weight or of the default. Chosen by
hand."""


@dataclass(frozen=True)
class NameMovement:
    """How far an edit moves a name. Printed as JSON with these field names."""

    name: str
    """The name."""
    movement: float
    """See `Signals.movement`: 0 is not at all, 1 as far as its signal is long."""


@dataclass(frozen=True)
class TargetTrial:
    """One edit solved with one target. Printed as JSON with these field names."""

    to: str | None
    """The target; None where the edit was solved as the manifest has it."""
    likeness: float
    """The cosine between the signals of concept and target before the edit; 0 where `to` is None."""
    weight: float
    """The weight of what is preserved."""
    usual: bool
    """True where `weight` is the manifest's, or else the default."""
    own: float
    """The movement of the concept, at the mean of the rows after the text."""
    moved: tuple[NameMovement, ...]
    """The movement of every compared name, the larger of its two rows, largest first."""

    @property
    def worst(self) -> float:
        """The largest movement of another name; 0 without other names."""
        return self.moved[0].movement if self.moved else 0.0

    @property
    def gone(self) -> bool:
        """True where the concept moves far enough to be gone."""
        return self.own >= GONE

    @property
    def safe(self) -> bool:
        """True where no other name is at risk."""
        return self.worst <= AT_RISK

    @property
    def cost(self) -> float:
        """The mean of the three largest movements.

        The largest alone may be a word for the whole kind, which has to move.
        """
        largest = [one.movement for one in self.moved[:3]]
        return sum(largest) / max(1, len(largest))

    @property
    def rank(self) -> tuple[bool, bool, float, str]:
        """The sort key of trials: those that erase first, then those with a target, then by cost, then by name."""
        return (not self.gone, not self.to, self.cost if self.gone else -self.own, self.to or "")


@dataclass(frozen=True)
class TargetTrials:
    """Tries targets for one edit."""

    plan: Plan
    """The plan of the manifest."""
    request: Request
    """The edit, with its sure other names."""
    ctx: Context
    """The ports, with encoders that encode each prompt once."""
    corpus: Sequence[str]
    """The default list of preserved prompts."""
    signals: Signals
    """The signals of all names."""
    compared: tuple[str, ...]
    """The names whose movement counts."""
    gram: Array
    """sum_l W_l^T W_l (d, d) over the sites."""

    def try_target(self, to: str) -> TargetTrial:
        """Solve the edit with a target, at the weight nearest the usual one that erases and puts no name at risk.

        The weight is lowered only until the concept is gone, and raised only while the concept is surely gone.
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
        """Solve the edit as the manifest has it, at the usual weight."""
        return self._trial(self._problem(self.request), None, 1.0)

    def with_preserved(self, names: Sequence[str]) -> TargetTrials:
        """Return the same trials with these concepts preserved by name as well."""
        manifest = self.plan.manifest
        preserve = replace(manifest.preserve, concepts=tuple(dict.fromkeys([*manifest.preserve.concepts, *names])))
        return replace(self, plan=replace(self.plan, manifest=replace(manifest, preserve=preserve)))

    @property
    def weight(self) -> float:
        """The usual weight of what is preserved: the manifest's, or the default for this edit alone."""
        manifest = replace(self.plan.manifest, edits=(self.request,))
        plan = replace(self.plan, manifest=manifest)
        return manifest.preserve.weight or default_weight(plan, rule_of(plan), count_base_prompts(plan, self.corpus))

    def _problem(self, request: Request) -> Problem:
        """Derive the problem of this edit alone, without constraints."""
        request = replace(request, strength=1.0 if request.strength == "auto" else request.strength)
        manifest = replace(self.plan.manifest, edits=(request,), constraints=Constraints())
        problem = Derive(self.corpus)(replace(self.plan, manifest=manifest), self.ctx)
        return replace(problem, systems={"text": replace(problem.systems["text"], gram=self.gram)})

    def _trial(self, problem: Problem, to: str | None, factor: float) -> TargetTrial:
        """Solve with `factor` times the usual weight, and measure how far each name moves."""
        system, names = problem.systems["text"], self.signals.names
        preserved = replace(system.preserved, moment=factor * system.preserved.moment)
        edit = self._solve(replace(problem, systems={"text": replace(system, preserved=preserved)}))
        by_row = self.signals.movement(edit, system.total_gram())
        most = dict(zip(names, by_row.max(axis=1).tolist(), strict=True))
        moved = sorted(
            (NameMovement(name, most[name]) for name in self.compared), key=lambda one: (-one.movement, one.name)
        )
        own = float(by_row[names.index(self.request.concept), 1])
        likeness = 0.0 if to is None else self.signals.cosine(self.request.concept, to)
        return TargetTrial(to, likeness, factor * self.weight, factor == 1.0, own, tuple(moved))

    def _solve(self, problem: Problem) -> Edit:
        """Solve. Raises E341 where the method does not make a shared edit."""
        edit = Solve()(problem, self.ctx).edits["text"]
        if edit.form != "shared":
            raise EditcError(_not_shared(problem.plan))
        return edit


def _not_shared(plan: Plan) -> Diagnostic:
    """Make the E341 of a method whose edits are not shared."""
    request = plan.manifest.image_edits[0]
    place = "technique" if "technique" in request.options else "method"
    return Diagnostic(
        "E341",
        "suggest compares targets by one multiplier that all sites share, and this method has none",
        request.at(place),
        plan.manifest.source,
        help="leave `method` out for `editc suggest`; its names and targets hold for any method",
    )
