"""TRCE (Chen et al., ICCV 2025, arXiv 2503.07389), first stage: the mapping of a text's end."""

from __future__ import annotations

from dataclasses import dataclass

from editc.passes.methods.images.joint_ridge import JointRidge


@dataclass(frozen=True)
class TRCE(JointRidge):
    """Send the row that ends a text, which sums up what it says, to that of the same text with a safe concept.

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I

    With keys C and targets T (d_in, m), weights A = erase_scale diag(a), kept second moment S (d_in, d_in). It is the
    problem of UCE; what makes it TRCE are its rows and weights, which `keys: eot` gives: BOS, first EOT and last
    position, and the concept's own tokens, each times its entry in `token_weights`; both sides are means over prompts
    (the corpus' over the sum of a prompt's rows). The second stage, a training of the visual layers, is not part of it.

    As published, by the authors' code: lamb 0; token weights [0, 1, 0, 0], the first EOT
    alone; `preserve: {weight: 0.01}` for one unsafe concept, 0.02 for several, over a moment of COCO captions divided
    by 30,000; 15 contexts. Four faults of that code are not copied: token positions counted in words between spaces,
    of a concept's tokens only the first weighed, the preserve weight applied twice (0.01 acts as 1e-4), and a moment
    divided by a fixed number whatever its captions' number.

    lamb: ridge towards the old weights; left out, what suits the key rule (1e-4 for the keys of `eot`).
    erase_scale: weight of the edited keys (published: 1).
    preserve_scale: multiplies the weight of the kept rows, `preserve: {weight: ...}`.
    """
