"""Models exported to ONNX by torch, for tests and benchmarks; an export takes some ten seconds, so make few."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch


class Painting(torch.nn.Module):  # type: ignore[misc]  # torch is not followed, so that its classes are Any
    """A UNet with plain tensors in and out, as programs export it; its parameters get the prefix `u.`."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.u = unet

    def forward(self, sample: Any, timestep: Any, rows: Any) -> Any:
        """The predicted noise."""
        return self.u(sample, timestep, encoder_hidden_states=rows, return_dict=False)[0]


class Talking(torch.nn.Module):  # type: ignore[misc]  # as above
    """A language model with plain tensors in and out; its parameters get the prefix `m.`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.m = model

    def forward(self, ids: Any) -> Any:
        """The logits."""
        return self.m(input_ids=ids, use_cache=False).logits


def unet_inputs(unet: Any, seed: int = 0) -> dict[str, Any]:
    """Two latents, a timestep and seven text rows, seeded."""
    made = torch.Generator().manual_seed(seed)
    config = unet.config
    size = config.sample_size
    return {
        "sample": torch.randn(2, config.in_channels, size, size, generator=made),
        "timestep": torch.tensor(500),
        "rows": torch.randn(2, 7, config.cross_attention_dim, generator=made),
    }


def llama_inputs(model: Any, seed: int = 0) -> dict[str, Any]:
    """Two sentences of eight ids, seeded."""
    made = torch.Generator().manual_seed(seed)
    return {"ids": torch.randint(0, model.config.vocab_size, (2, 8), generator=made)}


def wrapped(model: Any) -> torch.nn.Module:
    """`model` with plain tensors in and out."""
    return Painting(model) if hasattr(model, "down_blocks") else Talking(model)


def torch_output(model: Any, inputs: dict[str, Any]) -> Any:
    """The first output, from torch in float32."""
    with torch.no_grad():
        return wrapped(model.float().eval())(*inputs.values()).numpy()


def exported(model: Any, inputs: dict[str, Any], path: Path, legacy: bool = False, external: bool = False) -> Path:
    """`model` as an .onnx file: by the dynamo exporter, or by the legacy one; the weights in it, or beside it."""
    model = copy.deepcopy(model).float().eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"dynamo": False, "opset_version": 17} if legacy else {"dynamo": True, "verbose": False}
    if not legacy:
        options["external_data"] = external
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporters warn of their own parts
        torch.onnx.export(model, tuple(inputs.values()), str(path), input_names=list(inputs), **options)
    return path


def run(path: Path, inputs: dict[str, Any], adapter: Path | None = None) -> Any:
    """The first output, from ONNX Runtime on one thread; with an adapter active if one is given."""
    import onnxruntime

    given = onnxruntime.RunOptions()
    if adapter is not None:
        loaded = onnxruntime.LoraAdapter()
        loaded.Load(str(adapter))
        given.add_active_adapter(loaded)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {name: value.numpy() for name, value in inputs.items()}, given)[0]
