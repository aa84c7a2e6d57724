"""MACE (Lu et al., CVPR 2024, arXiv 2403.06135), first stage: closed-form cross-attention refinement."""

from __future__ import annotations

from dataclasses import dataclass

from editc.passes.methods.images.joint_ridge import JointRidge


@dataclass(frozen=True)
class MACE(JointRidge):
    """Refine what a prompt's other words picked up of a concept (eq. 1 and its solution, eq. 2).

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I

    With keys C and targets T (d_in, m), weights A = erase_scale diag(a), kept second moment S (d_in, d_in). It is the
    problem of UCE; what makes it MACE are its rows, which `keys: matched` gives: in each prompt the tokens before and
    after the concept, each sent to its counterpart in the same prompt with the target, every row weighing one. The
    concept's own tokens are left to the later stages, in which LoRAs are trained and fused; they are not part of this.

    The authors' configurations, their S being a sum over all rows of the captions of COCO:

    objects            lamb 1000  preserve_scale 0
    celebrities, art   lamb 0     preserve_scale 1e-4, with 2e5 (art: 8e4) times the moment of the domain's own prompts
    explicit content   lamb 0     preserve_scale 7e-7

    Their code multiplies S by the scale twice, so that 1e-4 acts as 1e-8. That is a fault, and is not copied: here
    every weight acts once.

    lamb: ridge towards the old weights; left out, what suits the key rule (1 for matched keys).
    erase_scale: weight of the edited keys (published: 1).
    preserve_scale: multiplies the weight of the kept rows, `preserve: {weight: ...}`.
    """
