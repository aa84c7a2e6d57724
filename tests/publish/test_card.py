"""The model card: made from the report, readable by the hub's own tools, and safe with any text in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import editc
from huggingface_hub import ModelCard
from publish_cases import REPORT, built
from signing_cases import refused

from editc.formats.exports.read import read_delta
from editc.verbs.public import push, write_card


def loaded(path: Path) -> Any:
    return ModelCard.load(path)


def test_the_hub_reads_its_metadata_without_complaint(tmp_path: Path) -> None:
    """Parsing raises for metadata that is no YAML or of the wrong type."""
    data = loaded(write_card(built(tmp_path), licence="mit")).data.to_dict()
    assert (data["base_model"], data["base_model_relation"], data["license"]) == ("owner/base", "adapter", "mit")
    assert data["library_name"] == "peft" and {"editc", "pico"} <= {*data["tags"]}


def test_it_says_what_a_reader_asks(tmp_path: Path) -> None:
    out = built(tmp_path)
    text, delta = loaded(write_card(out)).text, read_delta(out / "delta.safetensors")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == [
        "What does it do?",
        "Which model is it for?",
        "What was measured?",
        "Which attacks were tried?",
        "How is it loaded?",
        "What are its limits?",
        "Under which licence?",
    ]
    assert "revision `0123456789abcdef`" in text and "| inversion | circle | 3 of 20 | 19 of 20 |" in text
    assert delta.delta_id in text and "states no licence" in text
    assert all(f"| `{claim['name']}` |" in text for claim in delta.claims)


@pytest.mark.parametrize("words", ["load_lora_weights", "PeftModel", "ComfyUI and A1111", "vLLM", "editc apply"])
def test_it_says_how_each_tool_loads_what_travels(tmp_path: Path, words: str) -> None:
    assert words in write_card(built(tmp_path)).read_text()


def test_texts_of_the_report_cannot_become_html_or_table_cells(tmp_path: Path) -> None:
    text = write_card(built(tmp_path)).read_text()
    assert "<b>" not in text and r"\`quotes\` \| and \<b\>" in text


@pytest.mark.parametrize("model", ["editc:demo", "/home/me/private/sd15", "", 7])
def test_a_model_that_is_not_on_the_hub_is_not_linked(tmp_path: Path, model: object) -> None:
    out = built(tmp_path)
    report = json.loads((out / "report.json").read_text())
    (out / "report.json").write_text(json.dumps({**report, "model": model}))
    card = loaded(write_card(out))
    assert "base_model" not in card.data.to_dict() and "private" not in card.text


@pytest.mark.parametrize("key", REPORT)
@pytest.mark.parametrize("value", [None, [], {}, "x", [1], {"works": 1}])
def test_a_report_of_another_shape_still_gives_a_card(tmp_path: Path, key: str, value: object) -> None:
    out = built(tmp_path)
    report = json.loads((out / "report.json").read_text())
    (out / "report.json").write_text(json.dumps({**report, key: value}))
    assert loaded(write_card(out)).text


def test_a_card_of_ones_own_is_published_as_it_is(tmp_path: Path) -> None:
    out = built(tmp_path)
    (out / "README.md").write_text("mine")
    assert refused(lambda: write_card(out)).code == "E697"
    push(out, str(tmp_path / "shelf"))
    assert (tmp_path / "shelf" / "README.md").read_text() == "mine"
    (tmp_path / "other.md").write_text("another")
    assert editc("push", str(out), str(tmp_path / "shelf"), "--card", str(tmp_path / "other.md")).returncode == 0
    assert (tmp_path / "shelf" / "README.md").read_text() == "another"
    assert write_card(out, tmp_path / "made.md").read_text().startswith("---\n")
