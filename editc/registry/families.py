"""The families of models."""

from __future__ import annotations

from editc.registry.table import Table

FAMILIES = Table(
    "family",
    {
        "image": {
            "cascade": "editc.families.images.prior:CASCADE",
            "flux": "editc.families.images.transformer:FLUX",
            "kandinsky22": "editc.families.images.prior:KANDINSKY22",
            "pixart": "editc.families.images.transformer:PIXART",
            "sd-text": "editc.families.images.text:SD_TEXT",
            "sd1": "editc.families.images.unet:SD1",
            "sd2": "editc.families.images.unet:SD2",
            "sd3": "editc.families.images.transformer:SD3",
            "sdxl": "editc.families.images.unet:SDXL",
        },
        "classifier": {"image-classifier": "editc.families.classifier:CLASSIFIER"},
        "language": {
            "falcon": "editc.families.language.falcon:FALCON",
            "gemma": "editc.families.language.gemma:GEMMA",
            "gpt-neox": "editc.families.language.gpt_neox:GPT_NEOX",
            "gpt-oss": "editc.families.language.gpt_oss:GPT_OSS",
            "gpt2": "editc.families.language.gpt2:GPT2",
            "gptj": "editc.families.language.gptj:GPTJ",
            "llama": "editc.families.language.llama:LLAMA",
            "mixtral": "editc.families.language.mixtral:MIXTRAL",
            "olmo2": "editc.families.language.olmo2:OLMO2",
            "opt": "editc.families.language.opt:OPT",
            "phi": "editc.families.language.phi:PHI",
            "phi3": "editc.families.language.phi3:PHI3",
            "qwen3-moe": "editc.families.language.qwen3_moe:QWEN3_MOE",
        },
    },
    lambda family: str(family.models),
    needs=("name", "title", "component", "patterns", "models"),
)
"""Name of a family -> its `Family`. A plugin says with `models` for which kind of model it is."""
