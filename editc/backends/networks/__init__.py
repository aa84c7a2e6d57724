"""Language models that run, behind the port `editc.core.network.Network`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from editc.backends.networks.causal import CausalNetwork
from editc.backends.networks.hooks import watch_modules
from editc.backends.networks.products import use_onednn
from editc.backends.networks.streamed import open_streamed
from editc.backends.networks.tokenizer import PromptTokenizer
from editc.core.diagnostics import fail
from editc.families.language.transformers_layers import ATTENTION_LAYER_TYPES
from editc.libraries.device import is_cpu, named_device
from editc.libraries.foreign import quiet
from editc.libraries.loading import library_errors, load_network

__all__ = ["CausalNetwork", "PromptTokenizer", "load"]


LOCAL_ONLY: Mapping[str, Any] = MappingProxyType({"local_files_only": True, "trust_remote_code": False})
"""Options of transformers: fetch nothing, and run no code that lies beside a model."""


def load(folder: Path) -> CausalNetwork:
    """Load the causal language model of a transformers folder with its tokenizer, in float32, on the device that
    EDITC_DEVICE names, else on the CPU.

    Raises E205 where the tokenizer or the model cannot be loaded, E206 where the model computes its states or logits in
    a way that editc does not know, and E225 for a device that torch cannot use.
    """
    with pause_garbage_collection():
        return _load(folder)


def _load(folder: Path) -> CausalNetwork:
    """Do the work of `load`."""
    import torch
    from transformers import AutoTokenizer

    from editc.backends.networks.classes import model_class

    device = named_device()
    with quiet():
        help_text = "give the model's whole folder: config.json, tokenizer.json, *.safetensors"
        with library_errors("no tokenizer can be loaded", folder, help_text):
            tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL_ONLY)
        with library_errors(
            "the model cannot be loaded", folder, "use the config.json that was saved with the weights"
        ):
            kind = model_class(folder)
            streamed = open_streamed(kind, folder, device)
        if streamed is None:
            model = load_network(kind, folder, "the model", dtype=torch.float32, trust_remote_code=False).to(device)
        else:
            model, store, digests = streamed
    strange = set(getattr(model.config.get_text_config(), "layer_types", None) or ()) - ATTENTION_LAYER_TYPES
    if strange:
        message = (
            f"this model has layers other than attention ({', '.join(sorted(strange))}); editc does not support them"
        )
        raise fail("E206", message, place=str(folder))
    words = PromptTokenizer(tokenizer, len(model.get_input_embeddings().weight))
    model = model.requires_grad_(False)
    network = CausalNetwork(use_onednn(model) if is_cpu(device) else model, words)
    if streamed is not None:
        network = replace(network, store=store, digests=digests)
        store.attach(network.blocks)
    with library_errors("the model cannot be run", folder, "use the config.json that was saved with the weights"):
        same = logits_match(network)
    with library_errors(
        "the model's end-of-text token cannot be used", folder, "correct `eos_token_id` in generation_config.json"
    ):
        _require_ends(network)
    if not same:
        message = "this model scales its logits; editc does not support that"
        raise fail("E206", message, place=str(folder))
    return network


def _require_ends(network: CausalNetwork) -> None:
    """Raise ValueError where an end of text is not the number of a token."""
    wrong = [one for one in network.ends if type(one) is not int]
    if wrong:
        raise ValueError(f"`{wrong[0]}` is not a token id")


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Within the `with`, do not collect cyclic garbage. Loading a model makes none that matters, and the repeated
    search would take an eighth of the loading time."""
    import gc

    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def logits_match(network: CausalNetwork) -> bool:
    """True if the logits that editc computes are the model's own."""
    import torch

    seen: list[Any] = []
    with watch_modules(outputs={network.decoder: seen.append}), torch.inference_mode():
        theirs = network.model(input_ids=torch.arange(3, device=network.device)[None], use_cache=False).logits
        ours = network.logits(seen[0].last_hidden_state)
    return bool(torch.allclose(theirs.cpu(), ours, rtol=1e-4, atol=1e-4))
