"""What a diff made is added to what was built, and to another diff, whatever forms their edits have."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from tiny_files import KEYS, delta_for, pipeline, refused, sealed

from editc.core.delta import Delta, Form
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.delta.container import to_bytes
from editc.formats.diff.diff import difference
from editc.formats.link.link import arrange, link
from editc.formats.models.model import Model, open_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return pipeline(tmp_path_factory.mktemp("diffs") / "base")


def differing(base: Model, folder: Path, seed: int, form: Form) -> tuple[Delta, Model]:
    """The difference of the base and an edited copy, and that copy."""
    apply(plan_apply([delta_for(base, seed=seed)], base), out=folder)
    after = open_model(folder)
    made = difference(base, after, "editc 0", form=form).delta
    return sealed(replace(made, family="pico")), after


@pytest.mark.parametrize("form", ["shared", "dense"])
def test_a_diff_is_added_to_a_built_delta_and_takes_the_groups_of_that(base: Model, tmp_path: Path, form: Form) -> None:
    built = delta_for(base, seed=5)
    theirs, _ = differing(base, tmp_path / "theirs", 3, form)
    assert {record.site.group for record in theirs.sites} != {record.site.group for record in built.sites}
    made = [sealed(link(arrange(order), base, "editc 0")) for order in permutations((built, theirs))]
    assert to_bytes(made[0]) == to_bytes(made[1])
    assert {record.site.group for record in made[0].sites} == {"text"}
    apply(plan_apply([built], base), out=tmp_path / "mine")
    apply(plan_apply([made[0]], base), out=tmp_path / "both")
    parts = [open_model(tmp_path / name).component("unet") for name in ("mine", "theirs", "both")]
    for name in KEYS:
        W = base.component("unet").read(name)
        mine, other, both = (part.read(name) for part in parts)
        assert np.abs(both - (mine + other - W)).max() < 1e-5


def test_two_diffs_of_different_forms_are_added(base: Model, tmp_path: Path) -> None:
    first, _ = differing(base, tmp_path / "first", 3, "dense")
    second, _ = differing(base, tmp_path / "second", 5, "shared")
    made = link(arrange([first, second]), base, "editc 0")
    assert {factors.form for factors in made.factors.values()} == {"dense"}


def test_one_base_in_two_dtypes_is_refused_with_what_to_do(base: Model, tmp_path: Path) -> None:
    half = delta_for(pipeline(tmp_path / "half", dtype="F16"))
    single = replace(half, sites=tuple(replace(r, site=replace(r.site, dtype="F32")) for r in half.sites), delta_id="0")
    with refused("E650") as error:
        arrange([half, single])
    assert "stored in" in error.diagnostics[0].help and "`editc diff`" in error.diagnostics[0].help
