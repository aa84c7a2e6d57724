"""What paints nothing imports no library for networks, with an empty cache and with a full one."""

from __future__ import annotations

from pathlib import Path

import pytest
from imported import imported
from places import ROOT

NETWORKS = {"torch", "diffusers", "transformers"}
EXAMPLE = ROOT / "manifests" / "examples" / "erase-object.yaml"


@pytest.fixture(scope="module", autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDITC_CACHE", str(tmp_path_factory.mktemp("cold")))
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[set[str]]]:
    """A delta of the demo without pictures, and what its build imported: cold, then warm."""
    place = tmp_path_factory.mktemp("light")
    head, _, tail = EXAMPLE.read_text().partition("verify:\n")
    (place / "plain.yaml").write_text(head + tail.partition("\n")[2])
    loaded = [imported(["build", str(place / "plain.yaml"), "-o", str(place / "out")]) for _ in range(2)]
    return place / "out" / "delta.safetensors", loaded


def test_a_build_without_pictures_imports_neither_torch_nor_diffusers_nor_transformers(
    built: tuple[Path, list[set[str]]],
) -> None:
    assert [loaded & NETWORKS for loaded in built[1]] == [set(), set()]


def test_neither_does_verify_of_it(built: tuple[Path, list[set[str]]]) -> None:
    assert not imported(["verify", str(built[0]), "--model", "editc:demo"]) & NETWORKS


@pytest.mark.slow
def test_neither_does_suggest_even_for_a_manifest_with_pictures() -> None:
    assert not imported(["suggest", str(EXAMPLE)]) & NETWORKS
