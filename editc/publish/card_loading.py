"""How a published delta is loaded: the command of editc, and lines for each export that lies beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from editc.publish.parcel import Item

DIFFUSERS = """```python
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("{base}")
pipe.load_lora_weights("{folder}", weight_name="{file}")
```"""
"""An export that diffusers loads as a LoRA."""
PEFT = """```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(model, "{folder}/{file}")
```"""
"""An export that PEFT loads."""
TOOLS: Mapping[str, tuple[str, str]] = {
    "kohya": ("diffusers", DIFFUSERS),
    "diffusers": ("diffusers", DIFFUSERS),
    "peft": ("transformers with PEFT", PEFT),
    "gguf-lora": ("llama.cpp", "```console\n$ llama-cli -m BASE.gguf --lora {folder}/{file}\n```"),
}
"""Format -> the tool that loads it, and the lines for that. The folder is where the files were pulled to."""
FURTHER: Mapping[str, str] = {
    "kohya": "ComfyUI and A1111: put `{file}` into the folder for LoRAs and load it with strength 1.",
    "diffusers": "ComfyUI: put `{file}` into the folder for LoRAs and load it with strength 1.",
    "peft": "vLLM: start it with `--enable-lora --lora-modules edit={folder}/{file}`.",
}
"""Format -> a sentence about a further tool."""


def loading_lines(items: Sequence[Item], formats: Mapping[str, str], base: str, delta: str) -> Iterator[str]:
    """Paragraphs on how to load each export. `formats`: file -> its format. `base`: what it is loaded onto."""
    yield f"With editc, byte for byte, into a copy of the model or into the model itself:\n\n{_editc(base, delta)}"
    seen = set()
    for item in items:
        form = formats.get(item.name, "")
        if item.role != "export" or not form or form in seen:
            continue
        seen.add(form)
        file = PurePosixPath(item.name).parts[0]
        values = {"base": base, "folder": "edit", "file": file}
        if form in TOOLS:
            tool, lines = TOOLS[form]
            yield f"In {tool}, from `{file}`:\n\n{lines.format(**values)}"
        if form in FURTHER:
            yield FURTHER[form].format(**values)
        if form not in TOOLS:
            yield f"`{file}` is an export in the format `{form}` (`editc explain {form}`)."


def _editc(base: str, delta: str) -> str:
    """The commands of editc."""
    commands = [
        "editc pull SOURCE --out edit",
        f"editc apply edit/{delta} --to {base} --out patched",
        f"editc apply edit/{delta} --to MODEL --in-place     # editc revert MODEL undoes it",
    ]
    return "```console\n" + "\n".join(f"$ {command}" for command in commands) + "\n```"
