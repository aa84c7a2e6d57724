"""Which layers to edit, by what was found of their depth.

Knowledge that is written into an MLP's memory has to be in the stream at the subject before attention carries it off to
the prompt's end. So of the run of layers around the best one where restoring the stream at the subject brings back at
least three quarters of what the best one does, and no less than restoring it at the prompt's last token, the layers in
the middle are taken. The early end of that run is where noise is repaired, for a subject of one token altogether, and
the late end is where the fact leaves; what lies in the middle is furthest from both. Where no layer brings back a
tenth, as with a subject whose last token alone says little, or where noise costs nothing, tracing singles out none; the
layers that end a sixth of the way up are taken then, as where nothing is traced (ROME layer 5 of 28 to 32), and
`why` says so.

A direction is taken out of what layers write, from the layer on where a linear probe is as good as it gets (within
0.01), and not from the last twentieth of the layers, which shape the next token (Arditi et al., arXiv 2406.11717, leave
more of them out: a fifth).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from editc.core.measurements import Depth

WindowKind: TypeAlias = Literal["memory", "direction"]

MUCH = 0.75
"""Of the most that is brought back. Below it the fact is leaving, and what is written there reaches the subject's
neighbours (docs/measurements/depth.md)."""
HALF = 0.5
"""Of the lost probability: from there on the prompt's last token has the fact."""
LEAST = 0.1
"""Of the lost probability: where no layer brings back as much, none is singled out."""
USUAL = 6
"""What we take unasked ends at one layer in so many of the way up (`stages.default_layers`)."""
LEAST_COST = 0.02
"""Probability that noise on the subject has to cost: less, and the model does not know the answer by its subject."""
CLOSE = 0.01
"""Accuracy that counts as converged, below the most."""
TELLING = 0.75
"""Accuracy half way between guessing and certainty."""
LATE = 0.05
"""Share of the layers, the last ones, whose writing is left as it is."""


def window(depth: Depth, count: int, kind: WindowKind) -> tuple[int, ...]:
    """The layers to edit: `count` of them for a memory, of a direction as many as there are.

    Raises LookupError, saying why, where the evidence does not single any out.
    """
    return _memory_window(depth, count) if kind == "memory" else _direction_window(depth)


def why(depth: Depth, kind: WindowKind) -> str:
    """Why `depth.window` was chosen, in a sentence."""
    return _why_memory(depth) if kind == "memory" else _why_direction(depth)


def _memory_window(depth: Depth, count: int) -> tuple[int, ...]:
    if not depth.traced:
        raise LookupError("there is no prompt with the subject in it, whose answer could be traced")
    layers = len(depth.traced)
    run, wide = carrying_layers(depth), min(count, layers)
    first = (run[0] + run[-1] + 1 - wide) // 2 if is_singled_out(depth) else round(layers / USUAL) - wide + 1
    first = min(max(first, 0), layers - wide)
    return tuple(range(first, first + wide))


def is_singled_out(depth: Depth) -> bool:
    """True if noise costs something and some layer's stream at the subject brings enough of it back."""
    return depth.total >= LEAST_COST and max(depth.traced) >= LEAST


def carrying_layers(depth: Depth) -> range:
    """The run of layers around the best one at which the subject's last token has the fact."""
    best = depth.traced.index(max(depth.traced))
    enough = MUCH * depth.traced[best]
    moved = depth.moved or (0.0,) * len(depth.traced)
    has = [share >= enough and share >= other for share, other in zip(depth.traced, moved, strict=True)]
    has[best] = True
    first = next((layer + 1 for layer in range(best, -1, -1) if not has[layer]), 0)
    end = next((layer for layer in range(best, len(has)) if not has[layer]), len(has))
    return range(first, end)


def _direction_window(depth: Depth) -> tuple[int, ...]:
    if not depth.probed:
        raise LookupError("there are too few prompts with the concept, or without, for a probe to be tested on others")
    if max(depth.probed) < TELLING:
        raise LookupError(f"a linear probe tells prompts with the concept from others in {max(depth.probed):.2f} only")
    first, layers = first_layer_at_best(depth), len(depth.probed)
    return tuple(range(first, max(int((1 - LATE) * layers), first + 1)))


def first_layer_at_best(depth: Depth) -> int:
    """The first layer at which the probe is as good as it gets."""
    enough = max(depth.probed) - CLOSE
    return next(layer for layer, share in enumerate(depth.probed) if share >= enough)


def _why_memory(depth: Depth) -> str:
    if not is_singled_out(depth):
        usual = "which end about a sixth of the way up, where such edits are usual"
        return f"{_why_none(depth)}; taken instead: {layers_in_words(depth.window)}, {usual}"
    run, taken = carrying_layers(depth), [depth.traced[layer] for layer in depth.window]
    where = "in the middle of" if len(run) >= len(taken) else "around"
    text = (
        f"restoring the stream at the subject's last token brings back {sum(taken) / len(taken):.2f} of what noise "
        f"costs ({depth.total:.2f}) at {layers_in_words(depth.window)}, {where} {layers_in_words(run)}, "
        f"where it is at least {MUCH:g} of the most ({max(depth.traced):.2f})"
    )
    left = _takeover_layer(depth)
    return text if left is None else f"{text}; from layer {left} on the prompt's last token carries it"


def _why_none(depth: Depth) -> str:
    text = f"tracing singles out no layers: noise on the subject costs {max(depth.total, 0):.2f} of probability"
    if depth.total < LEAST_COST:
        return text
    most = max(0.0, *depth.traced)
    return f"{text}, and restoring the stream at the subject's last token brings back at most {most:.2f} of that"


def _takeover_layer(depth: Depth) -> int | None:
    """From which layer on the prompt's last token brings back half of all and more than the subject's; None if none."""
    has = [other >= HALF and other > share for share, other in zip(depth.traced, depth.moved, strict=False)]
    behind = next((i for i, one in enumerate(reversed(has)) if not one), len(has))
    return len(has) - behind if behind else None


def _why_direction(depth: Depth) -> str:
    left = len(depth.probed) - 1 - depth.window[-1]
    return (
        f"a linear probe tells prompts with the concept from others with accuracy {depth.probed[depth.window[0]]:.2f} "
        f"from layer {depth.window[0]} on, within {CLOSE:g} of the most ({max(depth.probed):.2f}); "
        f"the last {left} of {len(depth.probed)} layers are left out"
    )


def layers_in_words(layers: Sequence[int]) -> str:
    """Consecutive layers as words: `layer 5`, `layers 4-8`."""
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]}-{layers[-1]}"
