"""A bound of the manifest ends a training, with the last factors that held it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import train_cases
from train_cases import SUBJECT

from editc import api
from editc.core.diagnostics import EditcError
from editc.core.measurements import Claim
from editc.core.ports import Diffusion
from editc.core.solution import Training
from editc.passes.images.train.loop import train
from editc.passes.images.verify.verify import advise
from editc.passes.training import loop
from editc.passes.training.factors import attach_factors
from editc.passes.training.loop import Progressed, make_optimizer
from editc.registry.methods import METHODS

model, sites = train_cases.model, train_cases.sites
MANIFEST = """\
editc: 1
model: editc:demo
contexts: ["a {{}}", "a red {{}}"]
edits: [{{erase: fish, to: arrow, method: esd, steps: 6, sentences: 2, picture_steps: 4, rank: 1, rate: 0.01}}]
preserve: {{corpus: none, prompts: [a boat on sand, a red cat]}}
{}
"""


@dataclass
class Breaks:
    """A watch whose bound breaks at its check number `at`, counted from 1."""

    at: int
    asked: list[int] = field(default_factory=list)

    def broken(self) -> str:
        self.asked.append(1)
        return "too far" if len(self.asked) >= self.at else ""


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVED", 1)


def run(model: Diffusion, sites: Any, watch: Any, saved: dict[int, Any] | None = None) -> tuple[list[Any], Training]:
    scheme = METHODS.resolve("esd")(steps=4, sentences=2).scheme()
    with attach_factors(model, sites, 1, 1) as found:
        begun = Progressed(found, make_optimizer(scheme.optimiser, found), torch.Generator().manual_seed(2), [{}])

        def keep(step: int, tensors: Mapping[str, Any]) -> None:
            if saved is not None:
                saved[step] = {name: one.clone() for name, one in tensors.items()}

        trained = train(model, scheme, [SUBJECT], begun, None, keep, watch)
        return [one.detach().clone() for one in found.parameters], trained


@pytest.mark.parametrize("at", [1, 3, 4])
def test_a_broken_bound_ends_the_training_with_the_factors_of_the_check_before(
    at: int, model: Diffusion, sites: Any
) -> None:
    """Checks are at steps 1, 2, 3 and at the end, step 4."""
    saved: dict[int, Any] = {}
    whole, _ = run(model, sites, None, saved)
    factors, trained = run(model, sites, Breaks(at))
    assert (trained.stopped, trained.steps, trained.kept) == ("too far", at, at - 1)
    if at > 1:
        assert all(torch.equal(one, saved[at - 1][f"factor {i}"]) for i, one in enumerate(factors))
    assert not all(torch.equal(one, other) for one, other in zip(factors, whole, strict=True))


def test_bounds_that_hold_change_nothing(model: Diffusion, sites: Any) -> None:
    whole, _ = run(model, sites, None)
    watch = Breaks(99)
    factors, trained = run(model, sites, watch)
    assert all(torch.equal(one, other) for one, other in zip(factors, whole, strict=True))
    assert len(watch.asked) == 4 and not trained.stopped and not trained.kept


@pytest.mark.slow
def test_a_build_ends_where_preserved_rows_would_move_too_far(tmp_path: Path) -> None:
    free = build(tmp_path, "")
    drift = claim(free, "preserve_drift")
    bounded = build(tmp_path, f"constraints: {{preserve_drift: {0.5 * drift:.6g}}}")
    training = bounded.verified.solution.training
    assert training is not None and 0 < training.kept < 6
    assert training.stopped.startswith("preserve_drift would be")
    assert 0 < claim(bounded, "preserve_drift") <= 0.5 * drift
    assert training.stopped in (tmp_path / "out" / "report.html").read_text()
    with pytest.raises(EditcError, match="E405"):
        build(tmp_path, "constraints: {preserve_drift: 1e-9}")


def build(folder: Path, more: str) -> api.Built:
    (folder / "m.yaml").write_text(MANIFEST.format(more))
    built = api.build(folder / "m.yaml", folder / "out")
    assert built is not None
    return built


def claim(built: api.Built, name: str) -> float:
    return next(one.value for one in built.verified.report.claims if one.name == name)


def test_a_trained_edit_that_erased_too_little_is_trained_on() -> None:
    """`epochs` are those of a closed form."""
    manifest: Any = SimpleNamespace(preserve=SimpleNamespace(concepts=()))
    problem = SimpleNamespace(plan=SimpleNamespace(manifest=manifest))

    def says(training: Training | None) -> str:
        verified: Any = SimpleNamespace(solution=SimpleNamespace(problem=problem, training=training))
        return advise(Claim("erased", 0.4, 0.3, "fish"), verified).help

    assert "`epochs`" in says(None)
    assert "raise `steps`" in says(Training(6, (), (), ())) and "`epochs`" not in says(Training(6, (), (), ()))
