"""Format version 2: a factor that half precision holds exactly takes half the bytes; there is one way to write it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from delta_cases import same
from format_fixtures import half_delta
from tiny_files import delta_for, pipeline, refused, sealed

from editc.core.delta import Delta
from editc.formats.delta.container import from_bytes, read_delta, to_bytes, write_delta
from editc.formats.link.link import arrange, link
from editc.formats.models.model import Model


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return pipeline(tmp_path / "m")


@pytest.fixture
def halves(model: Model) -> Delta:
    return half_delta(model)


def test_factors_of_half_precision_are_stored_so_and_come_back(halves: Delta, tmp_path: Path) -> None:
    from safetensors import safe_open

    write_delta(halves, tmp_path / "d.safetensors")
    with safe_open(tmp_path / "d.safetensors", "np") as file:
        kinds = {name: file.get_tensor(name).dtype for name in sorted(file.keys())}
    assert {kind for name, kind in kinds.items() if "right" in name} == {np.dtype(np.float16)}
    assert {kind for name, kind in kinds.items() if "left" in name} == {np.dtype(np.float32)}
    back = read_delta(tmp_path / "d.safetensors")
    assert same(back, halves) and back.version == 2
    assert all(part.dtype == np.float32 for part in (*back.factors["text"].left, *back.factors["text"].right))


def test_the_same_factors_in_version_1_are_larger_and_another_delta(halves: Delta) -> None:
    older = sealed(replace(halves, version=1))
    assert len(to_bytes(older)) - len(to_bytes(halves)) >= 2 * sum(one.size for one in halves.factors["text"].right)
    assert older.delta_id != halves.delta_id
    np.testing.assert_equal(older.factors["text"].right, halves.factors["text"].right)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_the_other_spelling_of_a_version_is_refused(halves: Delta, before: int, after: int) -> None:
    data = to_bytes(replace(halves, version=before))
    with refused("E601"):
        from_bytes(data.replace(f'version\\":{before}'.encode(), f'version\\":{after}'.encode()))


def test_a_version_that_is_not_there_is_not_written(halves: Delta) -> None:
    for version in (0, 3):
        with refused("E605"):
            to_bytes(replace(halves, version=version))


def test_a_linked_delta_has_the_newest_version_of_its_parts(halves: Delta, model: Model) -> None:
    other = delta_for(model, "low-rank", seed=9)
    linked = link(arrange([halves, other]), model, "editc 0")
    assert linked.version == 2 and sealed(linked).version == 2
