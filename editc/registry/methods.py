"""The methods by which edits are solved."""

from __future__ import annotations

from editc.registry.table import Table

METHODS = Table(
    "method",
    {
        "image": {
            "uce": "editc.passes.methods.images.uce:UCE",
            "rece": "editc.passes.methods.images.rece:RECE",
            "mace": "editc.passes.methods.images.mace:MACE",
            "trce": "editc.passes.methods.images.trce:TRCE",
            "speed": "editc.passes.methods.images.speed:SPEED",
            "project": "editc.passes.methods.images.project:Project",
            "guard": "editc.passes.methods.images.guard:Guard",
            "realera": "editc.passes.methods.images.realera:RealEra",
        },
        "language": {
            "ablate": "editc.passes.methods.language.ablate:Ablate",
            "alphaedit": "editc.passes.methods.language.alphaedit:AlphaEdit",
            "concept-vectors": "editc.passes.methods.language.concept_vectors:ConceptVectors",
            "emmet": "editc.passes.methods.language.emmet:EMMET",
            "leace": "editc.passes.methods.language.leace:LEACE",
            "memit": "editc.passes.methods.language.memit:MEMIT",
            "rocr": "editc.passes.methods.language.rocr:ROCR",
            "rome": "editc.passes.methods.language.rome:ROME",
            "transplant": "editc.passes.methods.language.transplant:Transplant",
        },
    },
    lambda method: "image" if getattr(method, "works_on", "system") == "system" else "language",
)
