"""What a build does once: the model is opened, recognised and decoded for, the method made and the report written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_language as pico
from imported import loaded_modules

from editc import api
from editc.manifests import decode
from editc.opening import target
from editc.passes import locate
from editc.passes.methods.images.uce import UCE
from editc.passes.methods.language.ablate import Ablate
from editc.registry import options
from editc.report import record

IMAGE = "edits: [{erase: circle, to: square, contexts: ['a {}', 'a photo of a {}']}]"
LANGUAGE = "edits: [{ablate: {concept: lists, present: [a list, the long list], absent: [a page, the next page]}}]"
MOST_MODULES = 79
"""Modules of editc that `editc check` of an image manifest loads, its packages among them."""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each was called."""
    found: Counter[str] = Counter()

    def count(holder: Any, name: str, label: str) -> None:
        original = getattr(holder, name)

        def calling(*given: Any, **named: Any) -> Any:
            found[label] += 1
            return original(*given, **named)

        monkeypatch.setattr(holder, name, calling)

    count(target, "open_model", "open the model")
    count(locate, "recognise", "recognise its family")
    count(decode, "read_draft", "decode the manifest")
    count(record, "as_text", "write the report")
    for method in (UCE, Ablate):
        count(method, "__init__", "make the method")
    options._build_method.cache_clear()
    return found


@pytest.mark.parametrize(("kind", "edits"), [("image", IMAGE), ("language", LANGUAGE)])
def test_a_build_does_each_once(kind: str, edits: str, counted: Counter[str], tmp_path: Path) -> None:
    model = tiny.pipeline_folder(tmp_path / "sd1") if kind == "image" else pico.saved("llama", tmp_path / "llama")
    (tmp_path / "manifest.yaml").write_text(f"editc: 1\nmodel: {model}\n{edits}\n")
    built = api.build(tmp_path / "manifest.yaml", tmp_path / "out")
    assert built is not None and built.delta is not None
    labels = ("open the model", "recognise its family", "decode the manifest", "write the report", "make the method")
    assert counted == Counter(dict.fromkeys(labels, 1))


def test_a_check_loads_what_its_manifest_needs(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text(f"editc: 1\nmodel: editc:demo\n{IMAGE}\n")
    loaded = {name for name in loaded_modules(["check", str(tmp_path / "manifest.yaml")]) if name.startswith("editc")}
    assert not [name for name in loaded if name.startswith(("editc.passes.methods", "editc.passes.language"))]
    assert not [name for name in loaded if name.startswith(("editc.formats.apply", "editc.formats.exports"))]
    assert len(loaded) <= MOST_MODULES
