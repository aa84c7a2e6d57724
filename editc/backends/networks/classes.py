"""Which class of transformers runs a language model: of a vision-language model the one that sees, given no picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def model_class(folder: Path) -> Any:
    """The class that writes text for the configuration in a folder, whose code alone is transformers' own."""
    from transformers import AutoConfig

    return class_for_config(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))


def class_for_config(settings: Any) -> Any:
    """The same for a configuration."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    sees = type(settings) not in AutoModelForCausalLM._model_mapping
    return AutoModelForImageTextToText if sees and hasattr(settings, "vision_config") else AutoModelForCausalLM
