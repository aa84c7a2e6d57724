"""Choose the layers to edit by the measured depth.

A memory. What is written into an MLP's memory must be in the residual stream at the subject before attention carries it
to the prompt's end. Causal tracing says at which layers it is there: restoring the clean stream at the subject brings
the answer back. The carrying layers are the run of layers around the best one that bring back at least three quarters
of what the best one does, and no less than restoring the stream at the prompt's last token does. The middle of this run
is edited. At its early end the model still repairs the noise (for a subject of one token it repairs all of it), and at
its late end the fact leaves; the middle is furthest from both. If no layer brings back a tenth, or if the noise costs
nothing, tracing singles out no layer. That is so for a subject whose last token alone says little. Then the usual
layers are taken, which end a sixth of the way up (ROME: layer 5 of 28 to 32), and `explain_window` says so.

A direction. It is removed from what layers write, beginning at the layer where a linear probe is as good as it gets
(within 0.01). The last twentieth of the layers is left out, because these shape the next token (Arditi et al., arXiv
2406.11717, leave out a fifth).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from editc.core.measurements import Depth

WindowKind: TypeAlias = Literal["memory", "direction"]
"""What is edited: `memory` for facts, redirections and erasures; `direction` for ablations."""

CARRYING = 0.75
"""A carrying layer brings back at least this share of what the best layer does. Below it the fact is already leaving,
and what is written there reaches the subject's neighbours (docs/measurements/depth.md)."""
TAKEOVER = 0.5
"""The share of the lost probability from which on the prompt's last token counts as carrying the fact. Chosen by hand;
it only changes the explanation."""
LEAST_RESTORED = 0.1
"""The least share of the lost probability that the best layer must bring back, or tracing singles out no layer. Chosen
by hand; docs/measurements/depth.md has the shares of many prompts."""
USUAL_DEPTH = 6
"""The usual layers end at 1 / USUAL_DEPTH of the way up, as in `stages.default_layers`."""
LEAST_COST = 0.02
"""The least probability that noise on the subject must cost. If it costs less, the model does not know the answer by
the subject. Chosen by hand."""
CONVERGED = 0.01
"""A layer's probe counts as converged within this accuracy of the best layer's. Chosen by hand."""
LEAST_ACCURACY = 0.75
"""The least accuracy of the best probe: half way between guessing and certainty."""
LAST_LAYERS = 0.05
"""The share of the layers, the last ones, that a direction is not removed from. Chosen by hand."""


def window(depth: Depth, count: int, kind: WindowKind) -> tuple[int, ...]:
    """The layers to edit: `count` of them for a memory, for a direction all from the first that the probe singles out.

    Raises LookupError with the reason if nothing was measured, or if no probe is good enough.
    """
    return _memory_window(depth, count) if kind == "memory" else _direction_window(depth)


def explain_window(depth: Depth, kind: WindowKind) -> str:
    """Why `depth.window` was chosen, in a sentence."""
    return _explain_memory(depth) if kind == "memory" else _explain_direction(depth)


def _memory_window(depth: Depth, count: int) -> tuple[int, ...]:
    """The middle of the carrying layers, or the usual layers if tracing singles out none."""
    if not depth.traced:
        raise LookupError("no prompt contains the subject and has an answer that could be traced")
    layers = len(depth.traced)
    run, wide = carrying_layers(depth), min(count, layers)
    first = (run[0] + run[-1] + 1 - wide) // 2 if is_singled_out(depth) else round(layers / USUAL_DEPTH) - wide + 1
    first = min(max(first, 0), layers - wide)
    return tuple(range(first, first + wide))


def is_singled_out(depth: Depth) -> bool:
    """True if tracing singles out layers: noise costs enough, and some layer's stream at the subject brings enough of
    it back."""
    return depth.total >= LEAST_COST and max(depth.traced) >= LEAST_RESTORED


def carrying_layers(depth: Depth) -> range:
    """The run of layers around the best one at which the stream at the subject's last token carries the fact."""
    best = depth.traced.index(max(depth.traced))
    enough = CARRYING * depth.traced[best]
    moved = depth.moved or (0.0,) * len(depth.traced)
    has = [share >= enough and share >= other for share, other in zip(depth.traced, moved, strict=True)]
    has[best] = True
    first = next((layer + 1 for layer in range(best, -1, -1) if not has[layer]), 0)
    end = next((layer for layer in range(best, len(has)) if not has[layer]), len(has))
    return range(first, end)


def _direction_window(depth: Depth) -> tuple[int, ...]:
    """From the first converged layer up to the last layers, at least one layer."""
    if not depth.probed:
        raise LookupError("there are too few prompts with the concept, or without, for a probe to be tested on others")
    if max(depth.probed) < LEAST_ACCURACY:
        raise LookupError(
            f"a linear probe tells prompts with the concept from others only with accuracy {max(depth.probed):.2f}"
        )
    first, layers = first_layer_at_best(depth), len(depth.probed)
    return tuple(range(first, max(int((1 - LAST_LAYERS) * layers), first + 1)))


def first_layer_at_best(depth: Depth) -> int:
    """The first layer at which the probe is converged: within CONVERGED of the best."""
    enough = max(depth.probed) - CONVERGED
    return next(layer for layer, share in enumerate(depth.probed) if share >= enough)


def _explain_memory(depth: Depth) -> str:
    if not is_singled_out(depth):
        usual = "which end about a sixth of the way up, where such edits are usual"
        return f"{_explain_no_layer(depth)}; taken instead: {layers_in_words(depth.window)}, {usual}"
    run, taken = carrying_layers(depth), [depth.traced[layer] for layer in depth.window]
    where = "in the middle of" if len(run) >= len(taken) else "around"
    text = (
        f"restoring the stream at the subject's last token brings back {sum(taken) / len(taken):.2f} of what noise "
        f"costs ({depth.total:.2f}) at {layers_in_words(depth.window)}, {where} {layers_in_words(run)}, "
        f"where it is at least {CARRYING:g} of the most ({max(depth.traced):.2f})"
    )
    left = _takeover_layer(depth)
    return text if left is None else f"{text}; from layer {left} on the prompt's last token carries it"


def _explain_no_layer(depth: Depth) -> str:
    """Why tracing singles out no layer."""
    text = f"tracing singles out no layers: noise on the subject costs {max(depth.total, 0):.2f} of probability"
    if depth.total < LEAST_COST:
        return text
    most = max(0.0, *depth.traced)
    return f"{text}, and restoring the stream at the subject's last token brings back at most {most:.2f} of that"


def _takeover_layer(depth: Depth) -> int | None:
    """The layer from which on the prompt's last token brings back at least TAKEOVER and more than the subject's; None
    if there is no such layer."""
    has = [other >= TAKEOVER and other > share for share, other in zip(depth.traced, depth.moved, strict=False)]
    behind = next((i for i, one in enumerate(reversed(has)) if not one), len(has))
    return len(has) - behind if behind else None


def _explain_direction(depth: Depth) -> str:
    left = len(depth.probed) - 1 - depth.window[-1]
    return (
        f"a linear probe tells prompts with the concept from others with accuracy {depth.probed[depth.window[0]]:.2f} "
        f"from layer {depth.window[0]} on, within {CONVERGED:g} of the most ({max(depth.probed):.2f}); "
        f"the last {left} of {len(depth.probed)} layers are left out"
    )


def layers_in_words(layers: Sequence[int]) -> str:
    """Consecutive layers as words: `layer 5`, `layers 4-8`."""
    return f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]}-{layers[-1]}"
