"""A plain apply loads the code of safetensors alone: no other container's, no fine-tune's, no program's."""

from __future__ import annotations

from pathlib import Path

import pytest
from imported import loaded_modules

from editc.formats.containers.table import CONTAINERS, MODEL_FILES, container_of

FIXTURES = Path(__file__).parents[2] / "fixtures" / "deltas" / "v1"
OTHERS = ("onnx", "gguf", "protobuf", "encoder_marks", "ldm_encoder", "doctor", "adapters", "lowering", "trials")
"""Words in the names of modules that only other files and other commands need."""


@pytest.mark.parametrize("command", ["apply", "inspect"])
def test_a_plain_file_loads_no_other_containers_code(command: str) -> None:
    delta = str(FIXTURES / "shared.safetensors")
    rest = ["--to", str(FIXTURES / "base"), "--dry-run"] if command == "apply" else []
    loaded = {name for name in loaded_modules([command, delta, *rest]) if name.startswith("editc")}
    assert not {name for name in loaded if any(word in name for word in OTHERS)}
    assert len(loaded) < 90


def test_every_container_is_told_by_its_own_ending() -> None:
    assert {container_of(Path(f"m{suffix}")).suffix for suffix in CONTAINERS} == set(CONTAINERS)
    assert [row.suffix for row in CONTAINERS.values() if row.native] == [container_of(Path("m.other")).suffix]
    assert set(MODEL_FILES) <= set(CONTAINERS)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_file_without_a_delta_has_a_message(suffix: str) -> None:
    """Editc's own container needs none: its reader says what is missing."""
    row = CONTAINERS[suffix]
    assert bool(row.no_delta_texts[0]) != row.native
