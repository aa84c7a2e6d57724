"""The methods by which edits are solved."""

from __future__ import annotations

from editc.registry.table import Table

DEFAULT_TRAINED = {"forget": "npo", "learn": "stack"}
"""Kind of edit -> its method where a manifest names none."""
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
            "forget": "editc.passes.images.trained.forget:Forget",
            "esd": "editc.passes.images.trained.esd:ESD",
            "ca": "editc.passes.images.trained.ca:CA",
            "spm": "editc.passes.images.trained.spm:SPM",
            "all-but-one": "editc.passes.images.trained.all_but_one:AllButOne",
            "ant": "editc.passes.images.trained.ant:ANT",
            "receler": "editc.passes.images.trained.receler:RECELER",
            "stereo": "editc.passes.images.trained.stereo:STEREO",
            "trce-2": "editc.passes.images.trained.trce_2:TRCE2",
            "realera-2": "editc.passes.images.trained.realera_2:RealEra2",
            "co-erasing": "editc.passes.images.trained.co_erasing:CoErasing",
            "doco": "editc.passes.images.trained.doco:DoCo",
            "geom": "editc.passes.images.trained.geom:Geom",
            "safegen": "editc.passes.images.trained.safegen:SafeGen",
            "few-shot": "editc.passes.images.trained.few_shot:FewShot",
            "advunlearn": "editc.passes.images.trained.adv_unlearn:AdvUnlearn",
            "des": "editc.passes.images.trained.des:DES",
            "unbind": "editc.passes.images.trained.unbind:Unbind",
        },
        "language": {
            "rome": "editc.passes.methods.language.rome:ROME",
            "emmet": "editc.passes.methods.language.emmet:EMMET",
            "memit": "editc.passes.methods.language.memit:MEMIT",
            "alphaedit": "editc.passes.methods.language.alphaedit:AlphaEdit",
            "evoedit": "editc.passes.methods.language.evoedit:EvoEdit",
            "joint": "editc.passes.methods.language.joint:Joint",
            "ultraedit": "editc.passes.methods.language.ultraedit:UltraEdit",
            "rocr": "editc.passes.methods.language.rocr:ROCR",
            "transplant": "editc.passes.methods.language.transplant:Transplant",
            "lunar": "editc.passes.methods.language.lunar:LUNAR",
            "rmu-ridge": "editc.passes.methods.language.rmu_ridge:RMURidge",
            "concept-vectors": "editc.passes.methods.language.concept_vectors:ConceptVectors",
            "ablate": "editc.passes.methods.language.ablate:Ablate",
            "leace": "editc.passes.methods.language.leace:LEACE",
            "graddiff": "editc.passes.language.trained.graddiff:GradDiff",
            "npo": "editc.passes.language.trained.npo:NPO",
            "simnpo": "editc.passes.language.trained.simnpo:SimNPO",
            "dpo": "editc.passes.language.trained.dpo:DPO",
            "altpo": "editc.passes.language.trained.altpo:AltPO",
            "flat": "editc.passes.language.trained.flat:FLAT",
            "undial": "editc.passes.language.trained.undial:UNDIAL",
            "pdu": "editc.passes.language.trained.pdu:PDU",
            "rmu": "editc.passes.language.trained.rmu:RMU",
            "cir": "editc.passes.language.trained.cir:CIR",
            "strangers": "editc.passes.language.trained.strangers:Strangers",
            "stack": "editc.passes.language.trained.stack:Stack",
        },
    },
    lambda method: "image" if getattr(method, "works_on", "system") == "system" else "language",
)
"""Name of a method -> its class. A method whose `works_on` is absent or `system` is for image models."""
