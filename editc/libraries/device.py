"""The device of torch that models run on: one value, which `--device` puts into the environment variable EDITC_DEVICE.

Language networks and text encoders run on the CPU unless it names another device, because their float32 results go
into a delta's bytes. What takes hours on a CPU (painting, training, attacks) takes a GPU where torch sees one.
"""

from __future__ import annotations

import os

from editc.core.diagnostics import fail

DEVICE_VARIABLE = "EDITC_DEVICE"
"""The environment variable that names the device."""


def choose_device() -> str:
    """Return the device that paints, trains and attacks: what EDITC_DEVICE names, else a GPU if torch sees one, else
    the CPU.

    Raises E225 for a device that torch cannot use here.
    """
    if os.environ.get(DEVICE_VARIABLE):
        return named_device()
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def named_device() -> str:
    """Return the device that runs language networks and text encoders: what EDITC_DEVICE names, else the CPU.

    torch is not imported for the CPU. Raises E225 for a device that torch cannot use here.
    """
    named = os.environ.get(DEVICE_VARIABLE) or "cpu"
    if named != "cpu":
        _require_usable(named)
    return named


def is_cpu(device: str) -> bool:
    """True for `cpu` and `cpu:0`."""
    return device.partition(":")[0] == "cpu"


def describe_runner(device: object) -> str:
    """Say what ran a model of transformers, as reports have it: `transformers`, or `transformers on cuda:0`."""
    return "transformers" if is_cpu(str(device)) else f"transformers on {device}"


def describe_device() -> str:
    """Name what the last bits on `named_device` depend on: its kind, its model, and its libraries. '' on the CPU."""
    where = named_device()
    if is_cpu(where):
        return ""
    import torch

    name_model = getattr(torch.get_device_module(where), "get_device_name", None)
    model = name_model(where) if name_model else ""
    libraries = [f"{name} {found}" for name in ("cuda", "hip") if (found := getattr(torch.version, name, None))]
    return " ".join(part for part in ("device", torch.device(where).type, model, *libraries) if part)


def _require_usable(named: str) -> None:
    """Raise E225 unless a number can be put on the device and read back."""
    import torch

    try:
        torch.zeros(1, device=named).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        help_text = (
            "name a device that torch has here (cpu, cuda, cuda:1, mps), or leave `--device` and the variable out"
        )
        raise fail(
            "E225", f"torch cannot use the device `{named}`: {reason}", place=DEVICE_VARIABLE, help=help_text
        ) from error
