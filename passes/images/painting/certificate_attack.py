"""The certificate's attack: every row that the target would change is replaced by the one that comes nearest to it in
the edited projections.

What stood before the phrase stays; so do rows past the end of the longer of the two sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Attack, Certificate
from editc.core.ports import Context, Encoder
from editc.passes.images.painting.attack import PictureAttack


def replace_rows(encoder: Encoder, attacks: Sequence[Attack]) -> Array:
    """What an attacker feeds the model, (n, t, d): each prompt's own rows with the attack's in their places."""
    encoded = encoder.encode([one.prompt for one in attacks])
    whole = np.array([one.rows for one in encoded])
    for mine, attack in zip(whole, attacks, strict=True):
        mine[list(attack.rows)] = attack.points.T
    return whole


def _by_prompt(certificates: Sequence[Certificate]) -> Mapping[str, Attack]:
    return {one.prompt: one for certificate in certificates for one in certificate.attacks}


def _suits(prompt: str, certificates: Sequence[Certificate]) -> bool:
    return prompt in _by_prompt(certificates)


def _rows(prompts: Sequence[str], certificates: Sequence[Certificate], ctx: Context) -> Array:
    assert ctx.encoder is not None
    found = _by_prompt(certificates)
    return replace_rows(ctx.encoder, [found[prompt] for prompt in prompts])


CERTIFICATE = PictureAttack("the rows of the certificate, in place of the concept's", _suits, _rows)
