"""MACE (Lu et al., CVPR 2024, arXiv 2403.06135), first stage: closed-form cross-attention refinement."""

from __future__ import annotations

from dataclasses import dataclass

from editc.passes.methods.images.joint_ridge import JointRidge


@dataclass(frozen=True)
class MACE(JointRidge):
    """Erase what the other words of a prompt carry of a concept (eq. 1 of the paper and its solution, eq. 2).

    W' = W (I + (T - C) A C^T G^-1),  G = C A C^T + preserve_scale S + lamb I

    With keys C and targets T (d_in, m), weights A = erase_scale diag(a), S the second moment (d_in, d_in) of the
    preserved rows. It is the problem of UCE with other rows, which `keys: matched` gives: in each prompt the tokens
    before and after the concept, each sent to its counterpart in the same prompt with the target, all with weight 1.
    The concept's own tokens belong to the paper's later stages, which train and fuse LoRAs and are not part of this
    method.

    The authors' configurations, with their S a sum over all rows of the captions of COCO:

    objects            lamb 1000  preserve_scale 0
    celebrities, art   lamb 0     preserve_scale 1e-4, with 2e5 (art: 8e4) times the moment of the domain's own prompts
    explicit content   lamb 0     preserve_scale 7e-7

    Their code multiplies S by the scale twice, so that 1e-4 acts as 1e-8. This fault is not copied: here every weight
    acts once.
    """

    lamb: float | None = None
    """Ridge towards the old weights. Left out: the key rule's ridge, which is 1 for `matched`."""
    preserve_scale: float = 1.0
    """Weight of the preserved rows; it multiplies `preserve: {weight: ...}`."""
