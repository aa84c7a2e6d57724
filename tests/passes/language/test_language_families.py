"""Families of language models, on checkpoints that transformers wrote: which one, which matrices, which layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language as pico
import torch

from editc import api
from editc.backends.networks import load
from editc.core.prompts import Cloze
from editc.formats.models.model import Checkpoint, open_model
from editc.passes.locate import best_fit
from editc.passes.sites import layer_of, sites_of
from editc.registry.families import FAMILIES
from editc.verbs import explain

EXPECTED: Mapping[str, tuple[str, int]] = {
    "llama": ("llama", 8),
    "mistral": ("llama", 8),
    "qwen2": ("llama", 8),
    "qwen3": ("llama", 8),
    "gpt2": ("gpt2", 8),
    "gemma2": ("gemma", 8),
    "gemma3_text": ("gemma", 8),
    "phi3": ("phi3", 8),
    "mixtral": ("mixtral", 20),
    "qwen3_moe": ("qwen3-moe", 20),
    "gpt_oss": ("gpt-oss", 4),
    "gemma": ("llama", 8),
    "stablelm": ("llama", 8),
    "granite": ("llama", 8),
    "cohere": ("llama", 8),
    "phi": ("phi", 8),
    "olmo2": ("olmo2", 8),
    "opt": ("opt", 8),
    "gpt_neox": ("gpt-neox", 8),
    "gptj": ("gptj", 8),
    "falcon": ("falcon", 8),
}
"""transformers' model type -> the family, and the sites of all its roles in 4 layers (4 experts where it has any)."""
KNOWN = tuple(FAMILIES.resolve(name) for name in FAMILIES.names("language"))
CLOZE = [Cloze("The capital of France is", "Paris"), Cloze("A list: the Eiffel Tower is in", "Rome")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """kind -> the folder of its pico model, saved once."""
    root, made = tmp_path_factory.mktemp("language"), dict[str, Path]()
    return lambda kind: made.setdefault(kind, root / kind if kind in made else pico.saved(kind, root / kind))


def weights(folder: Path) -> Checkpoint:
    return open_model(folder).component("model")


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_header_says_the_family_and_its_matrices(kind: str, folders: Any) -> None:
    name, count = EXPECTED[kind]
    part = weights(folders(kind))
    family = best_fit(KNOWN, part)
    assert family is not None and (family.name, family.models) == (name, "language")
    sites = list(sites_of(family, part, tuple(family.patterns)))
    assert len(sites) == count and {site.role for site in sites} == set(family.patterns)
    assert {site.group for site in sites} == {f"layers.{layer}" for layer in range(4)}
    assert all(site.shape[0] == 32 and site.transposed == (kind == "gpt2") for site in sites), "all write to the stream"
    assert not set(family.patterns) & set(family.refused) and set(family.default_roles) <= set(family.patterns)


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_site_runs_changed_as_in_an_edited_checkpoint(kind: str, folders: Any, tmp_path: Path) -> None:
    """The name of a site is one that the port knows, and its values are what the file would hold."""
    from safetensors.torch import load_file, save_file

    folder = folders(kind)
    part, network = weights(folder), load(folder)
    family = best_fit(KNOWN, part)
    assert family is not None
    sites = [site for site in sites_of(family, part, tuple(family.patterns)) if site.group == "layers.1"]
    before, rng = network.score(CLOZE).total, np.random.default_rng(0)
    changed = {site.name: part.read(site.name) + rng.normal(size=part.shape(site.name)) for site in sites}
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    new = {name: torch.from_numpy(changed[name]).float() if name in changed else one for name, one in tensors.items()}
    save_file(new, tmp_path / "model.safetensors", {"format": "pt"})
    after = network.score(CLOZE, changed).total
    assert np.allclose(after, load(tmp_path).score(CLOZE).total, rtol=1e-5) and not np.allclose(after, before)
    assert np.array_equal(network.score(CLOZE).total, before)


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_an_expert_is_no_layer_that_could_be_trained(kind: str, folders: Any) -> None:
    folder = folders(kind)
    family = best_fit(KNOWN, weights(folder))
    assert family is not None
    sites = sites_of(family, weights(folder), ("mlp",))
    with pytest.raises(LookupError, match="router"):
        load(folder).layer(next(iter(sites)).name)


@pytest.mark.parametrize("kind", EXPECTED)
def test_every_family_has_a_plan_for_every_kind_of_edit(kind: str, folders: Any, tmp_path: Path) -> None:
    """From headers alone, with the defaults."""
    fact = "fact: {prompt: The capital of France is, subject: France, answer: Berlin}"
    others = ("redirect: {from: France, to: Japan}", "ablate: {concept: x, present: [a, b], absent: [c, d]}")
    path = tmp_path / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {folders(kind)}\nedits:\n" + "".join(f"  - {e}\n" for e in (fact, *others)))
    found = api.check(path)
    assert found.plan is not None, found.diagnostics
    assert [one.kind for one in found.plan.stages] == ["fact", "redirect", "ablate"]
    assert all(one.sites for one in found.plan.stages)


@pytest.mark.parametrize("further", ["mtp.layers.0", "model.mtp_layers.0", "vision_tower.encoder.layers.7"])
def test_layers_beside_the_models_own_are_no_sites(further: str, folders: Any, tmp_path: Path) -> None:
    """Layers that predict a token more, or see pictures, which transformers leaves out of the model that it runs."""
    from safetensors.torch import load_file, save_file

    folder = folders("llama")
    tensors = load_file(folder / "model.safetensors")
    first = {name: one for name, one in tensors.items() if name.startswith("model.layers.0.")}
    more = {name.replace("model.layers.0", further): one + 1 for name, one in first.items()}
    save_file({**tensors, **more}, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (family,) = [one for one in KNOWN if one.name == "llama"]
    found, own = (list(sites_of(family, weights(one), ("mlp", "attention"))) for one in (tmp_path, folder))
    assert found == own and len(own) == 8
    with pytest.raises(LookupError, match="no matrix"):
        load(folder).own_name(f"{further}.mlp.down_proj.weight")


@pytest.mark.parametrize("kind", ["mixtral", "qwen3_moe"])
def test_experts_beside_the_models_own_are_not_run(kind: str, folders: Any) -> None:
    part, network = weights(folders(kind)), load(folders(kind))
    name = next(site.name for site in sites_of(best_fit(KNOWN, part) or KNOWN[0], part, ("mlp",)))
    value = part.read(name) + 1
    with network.use_weights({name: value}), pytest.raises(LookupError, match="no matrix"):
        network.use_weights({name.replace("model.", "mtp."): value})


def test_families_are_explained_and_layers_are_read_from_names() -> None:
    for name in FAMILIES.names("language"):
        told, family = explain.explain(name), FAMILIES.resolve(name)
        assert f"family {name}" in told and family.model_types and all(kind in told for kind in family.model_types)
    assert layer_of("h.11.mlp.c_proj.weight") == 11
    assert layer_of("language_model.model.layers.3.mlp.experts.7.down_proj.weight") == 3
    with pytest.raises(ValueError, match="no layer"):
        layer_of("lm_head.weight")
