"""From a manifest for a language model to a file that other programs load, on a pico Llama in shards."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import tiny_language as pico
import torch
from imported import imported
from places import FIXTURES

from editc import api
from editc.backends.networks import load
from editc.core.diagnostics import EditcError
from editc.core.measurements import GENERATED_CLAIMS, RUN_CLAIMS
from editc.core.prompts import Cloze, Spot
from editc.verbs.earlier import find_earlier_edits
from editc.verbs.open import require_manifest

MANIFEST = """\
editc: 1
model: {model}
edits:
  - fact:
      prompt: The capital of France is
      subject: France
      answer: Berlin
      was: Paris
      paraphrases: ["What is the capital of {{}}"]
      neighbours: {{The capital of Japan is: Rome}}
    method: rome
  - redirect:
      from: Germany
      to: Japan
      relations: {{"The capital of {{}} is": Berlin}}
    method: rocr
  - ablate: {{concept: lists, present: [a list, the long list], absent: [a page, the next page]}}
constraints: {{bystander_loss: 1}}   # a random model is sure of nothing that means anything
retain: [A quiet afternoon and a long discussion.]
emit: [peft, gguf-lora, checkpoint]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pico Llama in several files."""
    place = tmp_path_factory.mktemp("language") / "model"
    pico.model("llama").save_pretrained(place, max_shard_size="30KB")
    pico.tokenizer().save_pretrained(place)
    assert len(list(place.glob("*.safetensors"))) > 3
    return place


@pytest.fixture(scope="module")
def built(folder: Path) -> tuple[Path, api.Built]:
    path, out = folder.parent / "m.yaml", folder.parent / "out"
    path.write_text(MANIFEST.format(model=folder))
    found = api.build(path, out)
    assert found is not None and found.delta is not None, found and found.failures
    return out, found


def hashes(place: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(place.glob("*.safetensors*"))}


def logits(model: Any) -> Any:
    ids = torch.tensor([pico.network("llama").tokenizer.raw("The capital of France is")["input_ids"]])
    with torch.inference_mode():
        return model(ids).logits


def test_a_build_says_what_it_did_and_every_format_is_read(built: tuple[Path, api.Built]) -> None:
    out, found = built
    assert found.delta is not None and found.delta.family == "llama"
    assert [edit["kind"] for edit in found.delta.edits] == ["fact", "redirect", "ablate"]
    assert {one.format for one in found.exports} == {"peft", "gguf-lora", "checkpoint"}
    assert all(trial.passed for one in found.exports for trial in one.trials)
    record = json.loads((out / "report.json").read_text())
    assert record["answers"] and {edit["kind"] for edit in record["edits"]} == {"fact", "redirect", "ablate"}
    assert "The capital of France is" in (out / "report.html").read_text()


def test_the_same_build_twice_is_the_same_delta(folder: Path, built: tuple[Path, api.Built]) -> None:
    again = api.build(folder.parent / "m.yaml", folder.parent / "again", ["emit=[]"])
    assert again is not None and again.delta is not None and built[1].delta is not None
    first, second = (
        {group: [factor.tobytes() for factor in (*part.left, *part.right)] for group, part in one.factors.items()}
        for one in (built[1].delta, again.delta)
    )
    assert first == second


def test_apply_rewrites_only_the_shards_that_change_and_revert_is_exact(
    folder: Path, built: tuple[Path, api.Built], tmp_path: Path
) -> None:
    copy = copytree(folder, tmp_path / "model")
    before = hashes(copy)
    loaded = imported(["apply", str(built[0] / "delta.safetensors"), "--to", str(copy), "--in-place"])
    assert not loaded & {"torch", "transformers"}
    after = hashes(copy)
    edited = {record.site.name for record in built[1].delta.sites}  # type: ignore[union-attr]
    index = json.loads((copy / "model.safetensors.index.json").read_text())["weight_map"]
    touched = {file for name, file in index.items() if name in edited}
    assert {name for name in before if before[name] != after[name]} == touched and len(touched) < len(before) - 1
    api.revert(str(copy))
    assert hashes(copy) == before


def test_peft_merges_to_what_apply_writes(folder: Path, built: tuple[Path, api.Built], tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    _, applied = api.apply([built[0] / "delta.safetensors"], str(folder), tmp_path / "model")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    emitted = AutoModelForCausalLM.from_pretrained(built[0] / "model")
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), built[0] / "peft")
    base = logits(AutoModelForCausalLM.from_pretrained(folder))
    assert torch.equal(logits(ours), logits(emitted))
    assert float((logits(ours) - base).abs().max()) > 0.1
    assert float((logits(adapted) - logits(ours)).abs().max()) < 1e-4
    assert float((logits(adapted.merge_and_unload()) - logits(ours)).abs().max()) < 1e-4
    assert applied is not None


def test_a_delta_is_measured_again_from_itself(folder: Path, built: tuple[Path, api.Built]) -> None:
    again = api.verify(built[0] / "delta.safetensors", str(folder))
    assert again.verified is not None and again.tier == "exact" and not again.failures
    claims = {(claim.name, claim.subject): claim.value for claim in again.verified.report.claims}
    recorded = {(one["name"], one.get("subject", "")): one["value"] for one in built[1].delta.claims}  # type: ignore[union-attr]
    assert recorded.keys() == claims.keys()
    assert all(np.isclose(claims[key], value, rtol=2e-3, atol=1e-5) for key, value in recorded.items())


def test_a_later_build_leaves_what_an_earlier_one_wrote(
    folder: Path, built: tuple[Path, api.Built], tmp_path: Path
) -> None:
    """Sequential editing: the keys of the deltas under `after` are held, those of others are not."""
    api.apply([built[0] / "delta.safetensors"], str(folder), tmp_path / "model")
    fact = "fact: {prompt: The capital of Germany is, subject: Germany, answer: Rome}"
    edit = f"{fact}, method: alphaedit, energy: 1.0, l2: 1.0e-6"
    moved = []
    for rest in ("", f"after: [{built[0] / 'delta.safetensors'}]\n"):
        path = tmp_path / "later.yaml"
        path.write_text(f"editc: 1\nmodel: {tmp_path / 'model'}\nedits: [{{{edit}}}]\n{rest}")
        found = api.build(path, tmp_path / "out")
        assert found is not None and found.delta is not None
        assert bool(found.delta.extra.get("after")) == bool(rest)
        api.apply([tmp_path / "out" / "delta.safetensors"], str(tmp_path / "model"), tmp_path / f"later{len(rest)}")
        network, later = (load(tmp_path / name) for name in ("model", f"later{len(rest)}"))
        spots = [
            Spot("A quiet afternoon: the capital of Germany is", "Germany"),
            Spot("The capital of France is", "France"),
        ]
        before, after = (one.states([1], spots)[1] for one in (network, later))
        own, earlier = np.linalg.norm(after - before, axis=0)
        moved.append(earlier / own)
    free, held = moved
    assert held < free / 2


@pytest.mark.parametrize("kind", ["gpt2", "gemma2", "phi3", "qwen3", "mixtral", "qwen3_moe", "gpt_oss"])
def test_what_verify_measured_is_what_the_applied_model_says(kind: str, tmp_path: Path) -> None:
    """Every family, however it stores its matrices: the report's figures come out of the file that apply writes."""
    model = pico.saved(kind, tmp_path / "model")
    text = MANIFEST.format(model=model).replace("method: rome", "method: memit\n    lamb: 1.0e-3")
    (tmp_path / "m.yaml").write_text(text)
    found = api.build(tmp_path / "m.yaml", tmp_path / "out", ["emit=[]"])
    assert found is not None and found.delta is not None
    api.apply([tmp_path / "out" / "delta.safetensors"], str(model), tmp_path / "edited")
    asked = [one for one in found.verified.report.answers if one.purpose in ("efficacy", "paraphrase")]
    base, edited = (load(place) for place in (model, tmp_path / "edited"))
    for network, side in ((base, "before"), (edited, "after")):
        for one in asked:
            said = network.score([Cloze(one.prompt, one.wanted, one.chat), Cloze(one.prompt, one.other, one.chat)])
            assert np.allclose(np.exp(said.total), getattr(one, side), rtol=1e-3, atol=1e-7)
    assert any(one.after != one.before for one in asked)


def test_two_deltas_are_linked_and_measured_together(folder: Path, tmp_path: Path) -> None:
    edits = {
        "fact": "fact: {prompt: The capital of France is, subject: France, answer: Berlin, was: Paris}",
        "list": "ablate: {concept: lists, present: [a list, the long list], absent: [a page, the next page]}",
    }
    for name, edit in edits.items():
        (tmp_path / f"{name}.yaml").write_text(f"editc: 1\nmodel: {folder}\nedits: [{{{edit}}}]\n")
        assert api.build(tmp_path / f"{name}.yaml", tmp_path / name) is not None
    files = [tmp_path / name / "delta.safetensors" for name in edits]
    found = api.link(files, tmp_path / "both.safetensors", str(folder))
    assert found.delta is not None and found.measured and not found.failures
    api.apply([tmp_path / "both.safetensors"], str(folder), tmp_path / "model")
    base, edited = load(folder), load(tmp_path / "model")
    (first,) = [one for part in found.parts if part.verified for one in part.verified.report.answers[:1]]
    for network, side in ((base, "before"), (edited, "after")):
        said = network.score([Cloze(first.prompt, "Berlin"), Cloze(first.prompt, "Paris")])
        assert np.allclose(np.exp(said.total), getattr(first, side), rtol=1e-3, atol=1e-7)


def test_a_linked_delta_comes_before_as_its_parts_do_and_a_diff_is_refused(folder: Path, tmp_path: Path) -> None:
    """`after` holds the same keys for a linked delta as for all its parts; one without a manifest has none to hold.

    Linked without a model, a delta claims nothing of what the whole model says: the other layer changes that too."""
    edits = {
        "fact": "fact: {prompt: The capital of France is, subject: France, answer: Berlin, was: Paris}",
        "name": "redirect: {from: Germany, to: Japan, relations: {'The capital of {} is': Berlin}}",
    }
    for layer, (name, edit) in enumerate(edits.items(), 1):
        text = f"editc: 1\nmodel: {folder}\nedits: [{{{edit}}}]\nsites: {{layers: [{layer}]}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
        assert api.build(tmp_path / f"{name}.yaml", tmp_path / name) is not None
    files = [tmp_path / name / "delta.safetensors" for name in edits]
    blind = api.link(files, tmp_path / "blind.safetensors").delta
    assert blind is not None and {claim["name"] for claim in blind.claims}.isdisjoint(RUN_CLAIMS | GENERATED_CLAIMS)
    assert {claim["part"] for claim in blind.claims if claim["name"] == "changed"} == {0, 1}
    both = api.link(files, tmp_path / "both.safetensors", str(folder)).delta
    assert both is not None and "efficacy" in {claim["name"] for claim in both.claims}
    later = "fact: {prompt: The capital of Japan is, subject: Japan, answer: Rome, was: Paris}"

    def earlier(model: Path, *names: Path) -> list[Spot]:
        path = tmp_path / "later.yaml"
        path.write_text(f"editc: 1\nmodel: {model}\nedits: [{{{later}}}]\nafter: [{', '.join(map(str, names))}]\n")
        found = find_earlier_edits(require_manifest(path)).values()
        return [spot for one in found for group in one.keys for spot in group]

    linked, edited = tmp_path / "linked", tmp_path / "edited"
    api.apply([tmp_path / "both.safetensors"], str(folder), linked)
    api.apply(files, str(folder), edited)
    assert set(earlier(linked, tmp_path / "both.safetensors")) == set(earlier(edited, *files))
    assert {spot.subject for spot in earlier(edited, *files)} == {"France", "Germany"}
    api.diff(str(folder), str(edited), tmp_path / "diff.safetensors")
    with pytest.raises(EditcError) as caught:
        earlier(edited, tmp_path / "diff.safetensors")
    (found,) = caught.value.diagnostics
    assert found.code == "E213" and found.span is not None and "no manifest" in found.message


def test_an_image_manifest_does_not_fit(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {folder}\nedits: [{{replace: {{from: Milo, to: a person}}}}]\n")
    found = api.check(path)
    assert [one.code for one in found.diagnostics] == ["E206"]
    delta = FIXTURES / "deltas" / "v1" / "shared.safetensors"
    path.write_text(
        f"editc: 1\nmodel: {folder}\nedits: [{{redirect: {{from: France, to: Japan}}}}]\nafter: [{delta}]\n"
    )
    with pytest.raises(EditcError) as caught:
        api.build(path, tmp_path / "out")
    assert caught.value.diagnostics[0].span is not None
    path.write_text("editc: 1\nmodel: editc:demo\nedits: [{redirect: {from: France, to: Japan}}]\n")
    with pytest.raises(EditcError) as caught:
        api.build(path, tmp_path / "out")
    assert caught.value.diagnostics[0].code == "E206"
