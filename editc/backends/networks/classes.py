"""Choose the transformers class that runs a language model. A vision-language model is loaded whole and gets no
picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def model_class(folder: Path) -> Any:
    """Return the class that writes text for the configuration in a folder. Only transformers' own code is used."""
    from transformers import AutoConfig

    return class_for_config(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def class_for_config(settings: Any) -> Any:
    """Return the class that writes text for a configuration."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    sees = type(settings) not in AutoModelForCausalLM._model_mapping
    return AutoModelForImageTextToText if sees and hasattr(settings, "vision_config") else AutoModelForCausalLM
