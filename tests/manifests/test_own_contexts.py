"""The sentences that a model brings: the demo model its own, every other model its family's everyday ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from editc import api
from editc.core.diagnostics import EditcError
from editc.demo import MODEL
from editc.demo.contexts import CONTEXTS
from editc.families.images.contexts import CONTEXTS as EVERYDAY
from editc.families.images.unet import SD1
from editc.opening.target import read_own_contexts

MANIFEST = "editc: 1\nmodel: {}\nedits: [{{erase: circle, to: square}}]\n"


def planned(folder: Path, model: object) -> tuple[str, ...]:
    (folder / "m.yaml").write_text(MANIFEST.format(model))
    found = api.check(folder / "m.yaml")
    assert found.plan is not None, found.diagnostics
    return found.plan.family.contexts


def copied(folder: Path) -> Path:
    """The demo model, without sentences of its own."""
    folder.mkdir()
    for one in MODEL.iterdir():
        if one.name != "contexts.txt":
            (folder / one.name).symlink_to(one)
    return folder


def test_the_demo_model_brings_its_own_sentences(tmp_path: Path) -> None:
    assert read_own_contexts(MODEL) == CONTEXTS == planned(tmp_path, "editc:demo")
    assert "a {} in pixel art style" in CONTEXTS


def test_any_other_model_is_spoken_to_in_everyday_sentences(tmp_path: Path) -> None:
    assert planned(tmp_path, copied(tmp_path / "m")) == EVERYDAY == SD1.contexts
    assert all(one.count("{}") == 1 for one in EVERYDAY) and len(set(EVERYDAY)) == len(EVERYDAY)
    words = " ".join(EVERYDAY)
    assert not any(word in words for word in ("pencil", "pixel", "red", "blue", "sea", "grass"))


def test_a_model_may_bring_others(tmp_path: Path) -> None:
    model = copied(tmp_path / "m")
    (model / "contexts.txt").write_text("# ours\n{}\nmy {} here\n\n{}\n")
    assert planned(tmp_path, model) == ("{}", "my {} here")


@pytest.mark.parametrize("text", [b"", b"# none\n", b"a photo\n", b"{} and {}\n", b"\xff\xfe{}"])
def test_what_is_no_list_of_sentences_is_refused(text: bytes, tmp_path: Path) -> None:
    model = copied(tmp_path / "m")
    (model / "contexts.txt").write_bytes(text)
    with pytest.raises(EditcError, match="E146"):
        read_own_contexts(model)
    (tmp_path / "m.yaml").write_text(MANIFEST.format(model))
    (one,) = api.check(tmp_path / "m.yaml").diagnostics
    assert one.code == "E146" and one.span is not None and one.help
