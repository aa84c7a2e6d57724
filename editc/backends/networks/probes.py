"""What a run of a model says of how its layers are built, asked of the first one."""

from __future__ import annotations

from typing import Any

from editc.backends.networks.hooks import EnoughError, watch_modules

TOLERANCE = 1e-3
"""How far from a multiple, in its own length, what reaches the stream may be: float32 sums."""


def count_extra_outputs(decoder: Any, block: Any) -> int:
    """How many values the layer `block` gives beside its states, in a tuple."""
    found: list[int] = []

    def look(layer: Any, given: Any, out: Any) -> None:
        found.append(len(out) - 1 if isinstance(out, tuple) else 0)
        raise EnoughError

    handle = block.register_forward_hook(look)
    try:
        with watch_modules():
            _run(decoder)
    finally:
        handle.remove()
    return found[0]


def measure_multiplier(decoder: Any, block: Any, speaker: Any, width: int) -> float | None:
    """c where the layer `block` adds c times what its MLP, `speaker`, says to the stream, however long that is.

    None where it does something else with it. `width` is the length of a state."""
    import torch

    slope = torch.linspace(-1.0, 1.0, width).double()
    pushed = slope + torch.cos(7.0 * slope)
    plain = _stream_after(decoder, block, speaker, None)
    once, thrice = (_stream_after(decoder, block, speaker, times * pushed) - plain for times in (1.0, 3.0))
    found = float(f"{float(once[0] @ pushed) / float(pushed @ pushed):.5g}")
    odd = (once - found * pushed).norm() + (thrice - 3.0 * found * pushed).norm()
    return found if float(odd) <= TOLERANCE * max(float(once.norm()), 1e-30) else None


def _stream_after(decoder: Any, block: Any, speaker: Any, pushed: Any) -> Any:
    """The stream (t, d) after the first layer, with `pushed` added to all that its MLP says."""
    seen: list[Any] = []

    def show(states: Any) -> None:
        seen.append(states.detach().clone()[0])
        raise EnoughError

    outputs = {block: show}
    if pushed is not None:
        outputs[speaker] = lambda states: states + pushed.to(states.dtype)
    with watch_modules(outputs=outputs):
        _run(decoder)
    return seen[0].double()


def _run(decoder: Any) -> None:
    import torch

    with torch.inference_mode():
        ids = torch.arange(3)[None]
        decoder(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
