"""The loop of training: searches, steps, curves and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from editc.core.ports import Progress
from editc.core.solution import Search, Training
from editc.passes.training.factors import Factors
from editc.passes.training.scheme import Drawn, Optimiser, Scheme, Side, State, Term

CURVE_POINTS = 100
"""Points of a curve at most: each is the mean over as many steps as it stands for. Chosen by hand: enough to plot."""

SAVED = 40
"""Steps between two checkpoints at least, for each concept. Chosen by hand: some seconds of work on the demo model."""

Save = Callable[[int, Mapping[str, Any]], None]
"""Stores tensors by name under the number of steps done."""


class Asked(Protocol):
    """What a loss may ask: the `Ask` of a kind of model."""

    @property
    def model(self) -> Any:
        """The model that is trained."""

    def attacked(self, drawn: Drawn) -> Any:
        """The same with what an adversary found in place of the feed's own conditions."""


MakeAsk = Callable[[Term, Any, State], Asked]
"""Draws what a term asks about, for one subject and what the adversary remembers of it. The factors are off."""


class Watched(Protocol):
    """What a training is asked of as it goes on."""

    def broken(self) -> str:
        """Which bound does not hold, in words; '' where all hold."""


@dataclass(frozen=True)
class _Held:
    """Factors that held every bound."""

    step: int
    """Steps done then."""
    factors: Sequence[Any]
    """Copies of them."""


@dataclass
class Progressed:
    """Where a training stands. Everything that changes while it runs, so that a checkpoint can hold it."""

    factors: Factors
    """The factors."""
    optimizer: Any
    """Adam over them."""
    generator: Any
    """Every random choice."""
    states: list[State]
    """What the adversary remembers of each subject."""
    averaged: list[Any] = field(default_factory=list)
    """The running mean of each factor, where the scheme asks for one and half of the steps are done."""
    step: int = 0
    """Steps done, over all subjects."""
    losses: list[list[float]] = field(default_factory=list)
    """For each step: the value of each term, without its weight."""
    searches: list[Search] = field(default_factory=list)
    """Every search so far."""
    weights: dict[str, float] = field(default_factory=dict)
    """Name of a term with a bound -> its weight now. A term that is missing has its own."""


def train(
    scheme: Scheme,
    subjects: Sequence[Any],
    begun: Progressed,
    make_ask: MakeAsk,
    progress: Progress | None,
    save: Save | None = None,
    watch: Watched | None = None,
) -> Training:
    """Train the factors of `begun` to the end; the subjects take the steps in turn.

    `save` is called every `save_period` steps, before a search that is due there, with what `resume` needs. `watch` is
    asked there and at the end: the first broken bound ends the training with the factors of the time before.
    """
    total, stopped = scheme.steps * len(subjects), ""
    held = _Held(begun.step, _copies(begun.factors))
    steps: Iterable[Any] = range(begun.step, total)
    for step in progress("train", steps) if progress else steps:
        number = begun.step % len(subjects)
        every = scheme.adversary.every * len(subjects)
        if begun.step and begun.step % save_period(scheme, len(subjects)) == 0:
            if stopped := watch.broken() if watch is not None else "":
                break
            held = _Held(begun.step, _copies(begun.factors))
            if save is not None:
                save(begun.step, pack(begun))
        if every and begun.step % every < len(subjects):
            if _has_enough(scheme, begun, len(subjects)):
                break
            _search(make_ask, scheme, subjects[number], begun, number)
        _set_rate(begun.optimizer, scheme.optimiser, int(str(step)) / total)
        begun.losses.append(_take_step(make_ask, scheme, subjects[number], begun, number))
        begun.step += 1
        if scheme.average and begun.step > total // 2:
            _average(begun, scheme.average)
    if begun.averaged:
        _put_back(begun.factors, begun.averaged)
    if watch is not None and (stopped := stopped or watch.broken()):
        _put_back(begun.factors, held.factors)
    names = tuple(one.name for one in scheme.terms)
    curves = _thin(begun.losses), tuple(begun.searches)
    return Training(begun.step, names, *curves, stopped=stopped, kept=held.step if stopped else 0)


def _copies(factors: Factors) -> list[Any]:
    """Each factor as it is now."""
    return [one.detach().clone() for one in factors.parameters]


def _average(begun: Progressed, decay: float) -> None:
    """Take the factors of now into their running mean."""
    begun.averaged = begun.averaged or _copies(begun.factors)
    for one, new in zip(begun.averaged, _copies(begun.factors), strict=True):
        one.mul_(decay).add_(new, alpha=1 - decay)


def _put_back(factors: Factors, copies: Sequence[Any]) -> None:
    """Make each factor what it was."""
    for one, before in zip(factors.parameters, copies, strict=True):
        one.data.copy_(before)


def save_period(scheme: Scheme, subjects: int) -> int:
    """Steps between two checkpoints: as many rounds of the adversary as have SAVED steps for each concept."""
    every = max(1, scheme.adversary.every)
    return -(-SAVED // every) * every * subjects


def make_optimizer(optimiser: Optimiser, factors: Factors) -> Any:
    """Adam over the factors."""
    import torch

    return torch.optim.AdamW(factors.parameters, optimiser.rate, betas=optimiser.betas, weight_decay=optimiser.decay)


def pack(begun: Progressed) -> dict[str, Any]:
    """Everything that changes, as tensors by name."""
    import torch

    found = {f"factor {i}": one.detach() for i, one in enumerate(begun.factors.parameters)}
    for i, one in enumerate(begun.factors.parameters):
        found |= {f"adam {i} {name}": torch.as_tensor(v) for name, v in begun.optimizer.state[one].items()}
    found |= {f"mean {i}": one for i, one in enumerate(begun.averaged)}
    for i, state in enumerate(begun.states):
        found |= {f"state {i} {name}": value for name, value in state.items()}
    searches = [[one.step, one.subject, *one.reached] for one in begun.searches]
    found |= {f"search {i}": torch.tensor(one, dtype=torch.float64) for i, one in enumerate(searches)}
    found |= {f"weight {name}": torch.tensor(one, dtype=torch.float64) for name, one in begun.weights.items()}
    return {
        **found,
        "generator": begun.generator.get_state(),
        "losses": torch.tensor(begun.losses, dtype=torch.float64),
    }


def least_names(begun: Progressed) -> list[str]:
    """Names that `pack` gives whatever was done so far."""
    return [*(f"factor {i}" for i in range(len(begun.factors.parameters))), "generator", "losses"]


def resume(begun: Progressed, step: int, found: Mapping[str, Any]) -> None:
    """Put what `pack` gave back in place, after `step` steps."""
    import torch

    begun.step = step
    for i, one in enumerate(begun.factors.parameters):
        with torch.no_grad():
            one.copy_(torch.from_numpy(found[f"factor {i}"]))
        begun.optimizer.state[one] = _tensors(found, f"adam {i} ")
    means = _tensors(found, "mean ")
    begun.averaged = [means[str(i)] for i in range(len(means))]
    begun.states = [_tensors(found, f"state {i} ") for i in range(len(begun.states))]
    begun.weights = {name.removeprefix("weight "): float(found[name]) for name in found if name.startswith("weight ")}
    begun.generator.set_state(torch.from_numpy(found["generator"]).to(torch.uint8))
    begun.losses = found["losses"].tolist()
    rows = [found[f"search {i}"].tolist() for i in range(sum(name.startswith("search ") for name in found))]
    begun.searches = [Search(int(step), int(subject), tuple(reached)) for step, subject, *reached in rows]


def _tensors(found: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors whose names begin so, in float32, under the rest of their names."""
    import torch

    return {name[len(prefix) :]: torch.from_numpy(found[name]).float() for name in found if name.startswith(prefix)}


def _search(make_ask: MakeAsk, scheme: Scheme, subject: Any, begun: Progressed, number: int) -> None:
    """Let the adversary attack the edited model as it is now."""
    with begun.factors.switched(False):
        ask = make_ask(scheme.terms[0], subject, begun.states[number])
    begun.states[number], reached = scheme.adversary.search(begun.states[number], ask, begun.generator)
    if reached:
        begun.searches.append(Search(begun.step, number, reached))


def _has_enough(scheme: Scheme, begun: Progressed, subjects: int) -> bool:
    """True where the last two searches for each subject found no more than `scheme.enough`."""
    last = begun.searches[-2 * subjects :]
    if scheme.enough is None or begun.step % (scheme.adversary.every * subjects) or len(last) < 2 * subjects:
        return False
    return max(max(one.reached) for one in last) <= scheme.enough


def _take_step(make_ask: MakeAsk, scheme: Scheme, subject: Any, begun: Progressed, number: int) -> list[float]:
    """One step down the gradient of all terms; the value of each, without its weight."""
    import torch

    begun.optimizer.zero_grad()
    values, losses, drawn = [], dict[Side, Any](), list[tuple[Any, Drawn]]()
    for term in scheme.terms:
        with begun.factors.switched(False):
            ask = make_ask(term, subject, begun.states[number])
        if term.attacked and (found := scheme.adversary.draw(begun.states[number], ask, begun.generator)):
            drawn.append((ask.model, found))
            ask = ask.attacked(found)
        value = term.objective.loss(ask)
        weight = begun.weights.get(term.name, term.weight)
        losses[term.side] = losses.get(term.side, 0.0) + weight * value
        values.append(float(value.detach()))
        if term.bound is not None:
            begun.weights[term.name] = max(0.0, weight + term.bound.rate * (values[-1] - term.bound.at_most))
    parameters = begun.factors.parameters
    for one, gradient in zip(parameters, scheme.rule.gradients(losses, parameters), strict=True):
        one.grad = gradient
    if scheme.optimiser.clip:
        torch.nn.utils.clip_grad_norm_(parameters, scheme.optimiser.clip)
    begun.optimizer.step()
    for model, found in drawn:
        begun.states[number] = scheme.adversary.follow(model, begun.states[number], found)
    return values


def _set_rate(optimizer: Any, optimiser: Optimiser, done: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = optimiser.rate * (1 - (1 - optimiser.floor) * done)


def _thin(losses: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """The means of at most CURVE_POINTS runs of steps, (points, terms), to six digits."""
    size = -(-len(losses) // CURVE_POINTS)
    runs = [losses[start : start + size] for start in range(0, len(losses), size)]
    return tuple(tuple(float(f"{sum(one) / len(run):.6g}") for one in zip(*run, strict=True)) for run in runs)
