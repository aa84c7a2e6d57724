"""Find out how a model's layers are built by running the first one."""

from __future__ import annotations

from typing import Any

from editc.backends.networks.hooks import EnoughError, watch_modules

TOLERANCE = 1e-3
"""How far the output may be from a multiple of the MLP's, relative to its length, and still count as one. Chosen by
hand to allow for float32 sums."""


def count_extra_outputs(decoder: Any, block: Any) -> int:
    """Count the values that the layer `block` returns after its states, in a tuple."""
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


def measure_multiplier(decoder: Any, block: Any, mlp: Any, width: int) -> float | None:
    """Return c if the layer `block` adds c times the output of its MLP, `mlp`, to the residual stream, at any length.

    None if it does something else with that output. `width` is the length of a state.
    """
    import torch

    slope = torch.linspace(-1.0, 1.0, width).double()
    pushed = slope + torch.cos(7.0 * slope)
    plain = _stream_after(decoder, block, mlp, None)
    once, thrice = (_stream_after(decoder, block, mlp, times * pushed) - plain for times in (1.0, 3.0))
    found = float(f"{float(once[0] @ pushed) / float(pushed @ pushed):.5g}")
    odd = (once - found * pushed).norm() + (thrice - 3.0 * found * pushed).norm()
    return found if float(odd) <= TOLERANCE * max(float(once.norm()), 1e-30) else None


def _stream_after(decoder: Any, block: Any, mlp: Any, pushed: Any) -> Any:
    """Return the residual stream (t, d) after the first layer, with `pushed` (d,) added to every output of its MLP."""
    seen: list[Any] = []

    def show(states: Any) -> None:
        seen.append(states.detach().clone()[0])
        raise EnoughError

    outputs = {block: show}
    if pushed is not None:
        outputs[mlp] = lambda states: states + pushed.to(states.dtype).to(states.device)
    with watch_modules(outputs=outputs):
        _run(decoder)
    return seen[0].cpu().double()


def _run(decoder: Any) -> None:
    """Run the decoder on three tokens."""
    import torch

    with torch.inference_mode():
        ids = torch.arange(3, device=next(decoder.parameters()).device)[None]
        decoder(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
