"""Training on a device: the networks run there, and factors, latents and random numbers are the CPU's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_device import NAME, on_fake_device
from train_cases import run, small, three_sites

from editc.backends import painter
from editc.backends.diffusion import PipelineDiffusion
from editc.demo import MODEL
from editc.libraries.device import DEVICE_VARIABLE


def train_on(device: str, method: str) -> Any:
    """The factors after a few steps, and the curve."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DEVICE_VARIABLE, device)
        model = PipelineDiffusion.of(painter.load(MODEL, "unet", steps=4, guidance=3.0, gradients=True))
    assert model is not None and {one.device.type for one in model.network.parameters()} == {device}
    return run(model, three_sites(model), small(method))


@pytest.mark.parametrize("method", ["esd", "forget", "receler"])
@on_fake_device
def test_a_training_on_a_device_ends_in_the_same_factors(method: str) -> None:
    torch.set_num_threads(1)
    (here, curve), (there, same) = train_on("cpu", method), train_on(NAME, method)
    assert all(one.device.type == "cpu" and one.abs().max() > 0 for one in there)
    assert all(torch.equal(one, other) for one, other in zip(here, there, strict=True)) and curve == same
