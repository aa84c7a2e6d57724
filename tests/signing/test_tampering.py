"""Changed deltas, signatures, statements, policies, bills of materials, cards and OCI layouts: none is accepted that
says something else, none ends in a traceback, each takes less than a second. `python -m benchmarks.tamper` tries a
thousand."""

from __future__ import annotations

from pathlib import Path

import pytest
from tampering import TARGETS, Scene, make_scene, read_all, tamper


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Scene]:
    folder: Path = tmp_path_factory.mktemp("tamper")
    return make_scene(folder / "one"), make_scene(folder / "two", "stranger", "dense")


@pytest.mark.parametrize("seed", range(80))
def test_a_change_is_refused_or_means_the_same(scenes: tuple[Scene, Scene], seed: int) -> None:
    found = tamper(*scenes, seed)
    assert not found.wrong, f"{found.target} {found.rule}: {found.wrong}"
    assert found.seconds < 1


def test_the_scene_itself_is_accepted_and_its_other_refused(scenes: tuple[Scene, Scene]) -> None:
    assert [read_all(scenes[0], target) for target in TARGETS] == [((), "")] * len(TARGETS)
