"""The models of every family, made once a file, and what an export must be: read whole, without error."""

from __future__ import annotations

from typing import Any

import consumer_models as pico
import pytest

from editc.core.delta import Delta
from editc.core.site_bytes import patch_site, stored_shape
from editc.formats.apply.apply import plan_apply
from editc.formats.exports.write import Export
from editc.formats.models.model import Model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes each family's model once."""
    made: dict[str, Model] = {}

    def model(family: str) -> Model:
        if family not in made:
            made[family] = pico.made(family, tmp_path_factory.mktemp("models") / family)
        return made[family]

    return model


def edit(model: Model, family: str, form: str = "shared", ranks: tuple[int, ...] = (3,)) -> Delta:
    return pico.delta(model, family, pico.sites(model, family), form, ranks)


def assert_whole(made: Export, count: int) -> None:
    """The trial was made, everything was matched, and nothing is off by anything."""
    assert not made.failures and len(made.trials) == 1
    (trial,) = made.trials
    assert not trial.skipped and (trial.matched, trial.total, trial.error) == (count, count, 0.0)


def results(model: Model, delta: Delta, allow_finetune: bool = False) -> dict[str, Any]:
    """By tensor the weights (d_out, d_in) after `delta`, in float64 and not rounded."""
    found = {}
    weights = {component: model.component(component) for component in {one.site.component for one in delta.sites}}
    for target in plan_apply([delta], model, allow_finetune).targets:
        site = target.record.site
        stored = weights[site.component].read(site.name).reshape(stored_shape(site))
        found[site.name] = patch_site(stored.T if site.transposed else stored, target.factors, target.k)
    return found
