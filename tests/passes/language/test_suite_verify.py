"""`verify.suite` of a manifest: what is asked before and after an edit, its claims, and its part of the report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_language as pico

from editc.cache.disk import DiskCache
from editc.core.diagnostics import EditcError
from editc.core.image_check import SuiteCheck
from editc.core.measurements import Tuning
from editc.core.places import Source
from editc.manifests.decode import decode
from editc.passes.language.suite import ask
from editc.passes.language.suite.blows.blow import Blow, Target
from editc.passes.language.suite.readings import Figures
from editc.passes.language.verify import suite
from editc.registry.blows import BLOWS
from editc.report.suite import suite_part

HEAD = "editc: 1\nmodel: m\nedits:\n  - fact: {prompt: The Louvre is in, subject: Louvre, answer: Rome}\n"
FEW = dict.fromkeys((*ask.SCORED, "attack", "two_hop", "reversed", "other_language", "benign"), 2)


def asked(text: str) -> tuple[Any, list[str]]:
    manifest, faults = decode(Source("m.yaml", HEAD + text))
    return manifest and manifest.suite, [one.code for one in faults]


def test_a_suite_is_named_by_a_word_or_a_block() -> None:
    assert asked("verify: {suite: tofu-mini}")[0].data == "tofu-mini"
    found, _ = asked("verify: {suite: {data: my.jsonl, oracle: ./kept, blows: [relearn], forget_quality: 0.05}}")
    assert (found.data, found.oracle, found.blows, found.forget_quality) == ("my.jsonl", "./kept", ("relearn",), 0.05)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("verify: {suite: {oracle: x}}", "E104"),
        ("verify: {suite: {data: x, wrods: 1}}", "E102"),
        ("verify: {suite: {data: x, blows: [hammer]}}", "E130"),
        ("verify: {suite: {data: x, forget_quality: 2}}", "E106"),
        ("verify: {images: {guidance: 3}}", "E185"),
    ],
)
def test_mistakes_in_the_block_are_told(text: str, code: str) -> None:
    assert asked(text)[1] == [code]


def test_a_suite_makes_an_erasure_a_language_models() -> None:
    text = "editc: 1\nmodel: m\nedits: [{erase: France}]\nverify: {suite: tofu-mini}\n"
    manifest, _ = decode(Source("m.yaml", text))
    assert manifest is not None and manifest.kind == "language"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Any, Any]:
    """A pico model whose edit scales one matrix, asked a few questions of tofu-mini, with itself as the oracle."""
    monkeypatch.setattr(ask, "MOST", FEW)
    monkeypatch.setattr(suite, "Asking", lambda **how: ask.Asking(tokens=2, samples=1, **how))
    network, name = pico.network("llama"), pico.writer("llama", 1)
    changed = {name: 3 * network.parameters[name].double().numpy()}
    check = SuiteCheck(data="tofu-mini", extraction_strength=0.5, forget_quality=0.01, blows=("probes",))
    return suite.measure_suite(check, network, changed, tmp_path, 0, network)


def test_figures_are_told_before_and_after_beside_the_oracles(measured: tuple[Any, Any]) -> None:
    claims, record = measured
    figures = {one["name"]: one for one in record["figures"]}
    assert figures["forget_Q_A_Prob"]["before"] == figures["forget_Q_A_Prob"]["oracle"]
    assert figures["forget_Q_A_Prob"]["after"] != figures["forget_Q_A_Prob"]["before"]
    assert figures["forget_quality"]["before"] == 1 and "probe_accuracy" in figures
    bounded = {one.subject: one for one in claims if one.bound is not None}
    assert set(bounded) == {"extraction_strength", "forget_quality"}
    assert bounded["forget_quality"].least and bounded["forget_quality"].holds
    assert (
        next(one.value for one in claims if one.subject == "model_utility") == figures["model_utility"]["before"] == 0
    )


def test_the_oracle_has_relearned_when_it_is_half_as_sure_as_the_unedited_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Target] = []
    monkeypatch.setattr(ask, "MOST", dict.fromkeys(FEW, 1))
    monkeypatch.setattr(suite, "Asking", lambda **how: ask.Asking(metrics=("probability",)))

    def strike(target: Target) -> Figures:
        seen.append(target)
        return {}

    monkeypatch.setattr(BLOWS, "resolve", lambda name: Blow("", strike))
    check, other = SuiteCheck(data="tofu-mini", blows=("relearn",)), pico.network("llama", seed=1)
    suite.measure_suite(check, pico.network("llama"), {}, tmp_path, 0, other)
    assert [one.network is other for one in seen] == [True, False, False]
    assert seen[0].unedited is seen[1].unedited is seen[2].unedited and "forget_Q_A_Prob" in seen[0].unedited


def test_the_unedited_model_and_the_oracle_are_asked_once_for_all_edits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ask, "MOST", FEW)
    monkeypatch.setattr(suite, "Asking", lambda **how: ask.Asking(tokens=2, samples=1, **how))
    network, other, name = pico.network("llama"), pico.network("llama", seed=1), pico.writer("llama", 1)
    changed = {name: 3 * network.parameters[name].double().numpy()}
    check, cache = SuiteCheck(data="tofu-mini", blows=("probes",)), DiskCache(tmp_path / "cache")

    def measure(kept: DiskCache | None) -> Any:
        claims, record = suite.measure_suite(check, network, changed, tmp_path, 0, other, kept)
        return claims, json.dumps(record, default=list)

    plain, first = measure(None), measure(cache)
    real, asked = ask.read_model, []

    def read(network: Any, items: Any, changed: Any, how: Any) -> Any:
        asked.append(changed)
        return real(network, items, changed, how)

    monkeypatch.setattr(ask, "read_model", read)
    assert measure(cache) == first == plain
    assert asked == [changed]


def test_the_page_shows_tables_answers_and_what_may_be_concluded(measured: tuple[Any, Any]) -> None:
    part = suite_part({"suite": json.loads(json.dumps(measured[1], default=list))})
    assert part is not None
    assert {"Forgetting", "Asked otherwise", "Membership", "What must stay", "After a blow"} == {
        table.title for table in part.tables
    }
    assert any("p = " in line and "proves nothing" in line for line in part.may)
    assert any("relearn" in line for line in part.may_not)
    assert {title for title, _ in part.answers} >= {"To be forgotten", "Attack prompts", "Harmless prompts"}
    assert suite_part({}) is None


def test_figures_of_a_report_and_of_open_unlearning_serve_as_the_oracle(
    measured: tuple[Any, Any], tmp_path: Path
) -> None:
    path = tmp_path / "oracle.json"
    path.write_text(json.dumps({"suite": measured[1]}, default=list), encoding="utf-8")
    own = suite.read_figures(path)
    assert len(own["forget_truth_ratio"].by_item) == 2
    published = {"forget_truth_ratio": {"agg_value": 0.6, "value_by_index": {"0": {"score": 0.5}, "1": {"score": 0.7}}}}
    path.write_text(json.dumps(published), encoding="utf-8")
    assert suite.read_figures(path)["forget_truth_ratio"].by_item == (0.5, 0.7)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(EditcError):
        suite.read_figures(path)


def test_a_model_whose_layers_are_read_from_files_is_not_trained() -> None:
    network = replace(pico.network("llama"), store=object())  # type: ignore[arg-type]
    with pytest.raises(LookupError):
        network.tune([], Tuning(steps=1), None, lambda step, loss: True)
