"""The attacks that try to bring an erased concept back."""

from __future__ import annotations

from editc.registry.table import Table

ATTACKS = Table(
    "attack",
    {
        "image": {
            "names": "editc.passes.images.attacks.names:Names",
            "certificate": "editc.passes.images.attacks.certificate:Certificate",
            "rece": "editc.passes.images.attacks.rece:Rece",
            "rows": "editc.passes.images.attacks.rows:Rows",
            "inversion": "editc.passes.images.attacks.inversion:Inversion",
            "prefix": "editc.passes.images.attacks.prefix:Prefix",
            "p4d": "editc.passes.images.attacks.p4d:P4d",
            "ring": "editc.passes.images.attacks.ring:Ring",
            "arithmetic": "editc.passes.images.attacks.arithmetic:Arithmetic",
            "untexted": "editc.passes.images.attacks.untexted:Untexted",
            "complete": "editc.passes.images.attacks.complete:Complete",
            "relearn": "editc.passes.images.attacks.relearn:Relearn",
            "personalise": "editc.passes.images.attacks.personalise:Personalise",
        },
    },
    lambda attack: "image",
    needs=("summary", "run"),
)
"""Name of an attack -> its class, a `passes.images.attacks.attack.Attack`."""
