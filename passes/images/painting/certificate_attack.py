"""The attack `certificate`: replace every row of a witness by the row that recovers it best in the edited layers.

Rows before the phrase stay, and so do rows past the end of the longer of the two sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from editc.core.delta import Array
from editc.core.measurements import Attack, Certificate
from editc.core.ports import Context, Encoder
from editc.passes.images.painting.attack import PictureAttack


def replace_rows(encoder: Encoder, attacks: Sequence[Attack]) -> Array:
    """Return the rows of each attack's prompt with the attack's rows put in, (n, t, d)."""
    encoded = encoder.encode([one.prompt for one in attacks])
    whole = np.array([one.rows for one in encoded])
    for mine, attack in zip(whole, attacks, strict=True):
        mine[list(attack.rows)] = attack.points.T
    return whole


def _by_prompt(certificates: Sequence[Certificate]) -> Mapping[str, Attack]:
    """Return prompt -> the attack that the certificates have for it."""
    return {one.prompt: one for certificate in certificates for one in certificate.attacks}


def _suits(prompt: str, certificates: Sequence[Certificate]) -> bool:
    """Return whether a certificate has an attack for the prompt."""
    return prompt in _by_prompt(certificates)


def _rows(prompts: Sequence[str], certificates: Sequence[Certificate], ctx: Context) -> Array:
    """Return the rows (n, t, d) of the attacks on these prompts."""
    assert ctx.encoder is not None
    found = _by_prompt(certificates)
    return replace_rows(ctx.encoder, [found[prompt] for prompt in prompts])


CERTIFICATE = PictureAttack("the rows of the certificate, in place of the concept's", _suits, _rows)
"""The value that the registry names."""
