"""The attacks on an erased concept that are painted, to see whether they bring it back."""

from __future__ import annotations

from editc.registry.table import Table

ATTACKS = Table(
    "attack",
    {
        "image": {
            "certificate": "editc.passes.images.painting.certificate_attack:CERTIFICATE",
        },
    },
    lambda attack: "image",
    needs=("says", "suits", "rows"),
)
"""Name of an attack -> its `PictureAttack`."""
