"""TRCE (Chen et al., ICCV 2025, arXiv 2503.07389), first stage: the mapping of a text's end."""

from __future__ import annotations

from dataclasses import dataclass

from editc.passes.methods.images.joint_ridge import JointRidge


@dataclass(frozen=True)
class TRCE(JointRidge):
    """Send the row at the end of a text, which sums the text up, to that of the same text with a safe concept.

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I

    With keys C and targets T (d_in, m), weights A = erase_scale diag(a), S the second moment (d_in, d_in) of the
    preserved rows. It is the problem of UCE with other rows and weights, which `keys: eot` gives: BOS, first EOT, last
    position, and the concept's own tokens, each times its entry in `token_weights`. Edited and preserved rows both
    count as means over prompts (a preserved prompt as the sum of its rows). The paper's second stage, which trains the
    visual layers, is not part of this method.

    Published, by the authors' code: lamb 0; token weights [0, 1, 0, 0], the first EOT alone; `preserve: {weight: 0.01}`
    for one unsafe concept, 0.02 for several, over a moment of COCO captions divided by 30,000; 15 contexts. Four faults
    of that code are not copied: it counts token positions in words between spaces; it weighs only the first of a
    concept's tokens; it applies the preserve weight twice, so that 0.01 acts as 1e-4; it divides the moment by a fixed
    number, whatever the number of captions.
    """

    lamb: float | None = None
    """Ridge towards the old weights. Left out: the key rule's ridge, which is 1e-4 for `eot`."""
    preserve_scale: float = 1.0
    """Weight of the preserved rows; it multiplies `preserve: {weight: ...}`."""
