"""Small ONNX models and a delta for them, for tests that look for its targets there."""

from __future__ import annotations

from pathlib import Path

import onnx_files as of
import pytest
import tiny_files as tiny

from editc.core.delta import Delta
from editc.formats.models.model import Model, open_model

K0, V0 = tiny.KEYS[:2]


@pytest.fixture
def base(tmp_path: Path) -> Model:
    return tiny.pipeline(tmp_path / "base")


@pytest.fixture
def delta(base: Model) -> Delta:
    return tiny.delta_for(base)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Delta:
    return tiny.delta_for(tiny.pipeline(tmp_path_factory.mktemp("wanted") / "base"))


def build(path: Path, tensors: list[bytes], nodes: list[bytes] | tuple[bytes, ...] = ()) -> Model:
    path.write_bytes(of.model(of.graph(tensors, nodes)))
    return open_model(path)


def one(base: Model, name: str = K0) -> tuple[Delta, bytes]:
    """A delta of one site and the bytes of its base."""
    return tiny.delta_for(base, "low-rank", [name]), base.component("unet").raw(name)
