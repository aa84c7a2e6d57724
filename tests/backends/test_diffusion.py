"""The model with gradients: whatever its networks run on, all else is float32 on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from command import editc

from editc.backends import painter
from editc.backends.diffusion import PipelineDiffusion
from editc.core.delta import Site
from editc.demo import MODEL
from editc.libraries.device import DEVICE_VARIABLE
from editc.passes.images.diffusion.adapter import attach_adapter
from editc.passes.training.factors import attach_factors

NAME = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"


@pytest.fixture(scope="module")
def canvas() -> painter.PipelinePainter:
    torch.set_num_threads(1)
    return painter.load(MODEL, "unet", steps=4, guidance=3.0)


@pytest.fixture(params=[torch.float64, torch.float16])
def model(canvas: painter.PipelinePainter, request: pytest.FixtureRequest) -> Iterator[PipelineDiffusion]:
    """A pipeline that is not in float32, as it is not on the CPU where it runs elsewhere."""
    canvas.pipeline.to(request.param)
    found = PipelineDiffusion.of(canvas)
    assert found is not None
    yield found
    canvas.pipeline.to(torch.float32)


def test_half_precision_has_no_gradients_so_training_goes_on_in_float32(canvas: painter.PipelinePainter) -> None:
    for half in (torch.float16, torch.bfloat16):
        canvas.pipeline.to(half)
        assert PipelineDiffusion.of(canvas) is not None
        assert {one.dtype for one in canvas.pipeline.unet.parameters()} == {torch.float32}
        assert {one.dtype for one in canvas.pipeline.vae.parameters()} == {torch.float32}


def test_everything_goes_in_and_comes_back_in_float32_with_its_gradient(model: PipelineDiffusion) -> None:
    rows = model.rows(["a fish", ""])
    latents = model.start([1, 2]).requires_grad_(True)
    told = model.into_ball(rows).requires_grad_(True)
    answer = model.answer(latents, torch.tensor([500, 20]), told)
    table = model.embeddings
    vectors = table[:1].clone().requires_grad_(True)
    new = model.encode_tokens(model.tokens(["a fish"]), (1,), vectors)
    pictures = model.decode(latents.detach())
    back = model.encode(pictures)
    for one in (rows, answer, table, new, back):
        assert one.dtype == torch.float32 and one.device.type == "cpu"
    assert pictures.dtype == np.uint8
    for given, made in ((latents, answer), (told, answer), (vectors, new)):
        (gradient,) = torch.autograd.grad(made.square().sum(), given, retain_graph=True)
        assert gradient.dtype == torch.float32 and float(gradient.abs().sum()) > 0


def test_factors_and_adapters_are_float32_beside_any_network(model: PipelineDiffusion) -> None:
    shape = tuple(dict(model.network.named_parameters())[NAME].shape)
    rows, latents, times = model.rows(["a fish"]), model.start([1]), torch.tensor([500])
    site = Site("unet", NAME, (shape[0], shape[1]), "F32", "x", "x")
    with attach_factors(model, [site], 2, 1, {NAME: (np.ones((shape[0], 1)), np.ones((1, shape[1])))}) as factors:
        with factors.switched(True):
            loss = model.answer(latents, times, rows).square().mean()
        gradients = torch.autograd.grad(loss, factors.parameters)
        assert {one.dtype for one in (*gradients, *factors.parameters)} == {torch.float32}
        assert float(gradients[1].abs().sum()) > 0
    with attach_adapter(model, 2, 1) as adapter:
        loss = model.answer(latents, times, rows).square().mean()
        assert {one.dtype for one in torch.autograd.grad(loss, list(adapter.parameters))} == {torch.float32}


def test_the_option_device_is_the_one_value_that_every_loader_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    manifest = tmp_path / "m.yaml"
    text = "editc: 1\nmodel: editc:demo\nedits:\n  - {erase: fish, to: arrow, method: esd, steps: 2, sentences: 2}\n"
    manifest.write_text(text, encoding="utf-8")
    ran = editc("build", str(manifest), "--device", "quantum")
    assert ran.returncode == 2 and "error[E225]: torch cannot use the device `quantum`" in ran.stderr
    assert not (tmp_path / "m.out").exists()
