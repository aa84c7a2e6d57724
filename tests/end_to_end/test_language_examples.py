"""Every example for a language model, built on SmolLM2-135M-Instruct as it stands there, meets its own constraints."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from shutil import copytree

import pytest
import smollm2

from editc import api
from editc.backends import networks

pytestmark = [pytest.mark.smollm2, pytest.mark.slow]
EXAMPLES = Path(str(files("editc.manifests"))) / "examples" / "language"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples with the model beside them, under the name that they give it."""
    place = copytree(EXAMPLES, tmp_path_factory.mktemp("language") / "examples")
    (place / "smollm2").symlink_to(smollm2.folder())
    return place


@pytest.fixture(autouse=True, scope="module")
def _one_network() -> Iterator[None]:
    """All builds run the same model in memory: it is loaded once."""
    network = smollm2.network()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "load", lambda folder: network)
        yield


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_an_example_meets_its_constraints(name: str, folder: Path, tmp_path: Path) -> None:
    found = api.build(folder / name, tmp_path)
    assert found is not None and found.delta is not None and not found.failures, found and found.failures
    bounded = [claim for claim in found.verified.report.claims if claim.bound is not None]
    assert bounded and all(claim.holds for claim in bounded)
    assert (tmp_path / "delta.safetensors").stat().st_size < 300_000
    assert all(trial.passed for one in found.exports for trial in one.trials)
