"""Text encoders as a port: prompts in, rows out, with the place in the prompt that each row speaks of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from editc.diagnostics import fail
from editc.ports import Encoded

BATCH = 64


@dataclass(frozen=True)
class ClipEncoder:
    """The CLIP text encoder of a diffusers folder: rows are its last hidden state after the final LayerNorm, (t, d).

    It runs in float32 whatever the files hold, so that the same files give the same rows.
    """

    tokenizer: Any
    model: Any
    mark: str = ""

    def encode(self, prompts: Sequence[str]) -> Sequence[Encoded]:
        """Each prompt's rows in order; equal prompts are encoded once."""
        distinct = list(dict.fromkeys(prompts))
        found: dict[str, Encoded] = {}
        for start in range(0, len(distinct), BATCH):
            found |= {e.prompt: e for e in self._batch(distinct[start : start + BATCH])}
        return [found[prompt] for prompt in prompts]

    def fingerprint(self) -> str:
        """As `formats.fingerprint` found it when the encoder was loaded."""
        return self.mark

    def _batch(self, prompts: Sequence[str]) -> Iterator[Encoded]:
        import torch

        tokens = self.tokenizer(
            list(prompts), padding="max_length", truncation=True, return_tensors="pt", return_offsets_mapping=True
        )
        offsets = tokens["offset_mapping"].tolist()
        with torch.inference_mode():
            rows = self.model(tokens["input_ids"])[0].double().numpy()
        for prompt, ids, places, row in zip(prompts, tokens["input_ids"].tolist(), offsets, rows, strict=True):
            start, end = zip(*[_place(prompt, a, b) for a, b in places], strict=True)
            yield Encoded(prompt, np.asarray(row), tuple(ids), start, end)


def load(folder: Path, mark: str = "") -> ClipEncoder:
    """The encoder of the pipeline in `folder`, with its fingerprint; E205 when it has none that can be read."""
    for part in ("text_encoder", "tokenizer"):
        if not (folder / part).is_dir():
            raise fail(
                "E205",
                f"the model has no `{part}`",
                place=str(folder),
                help="a build derives its keys with the text encoder: name a whole diffusers pipeline folder",
            )
    from transformers import CLIPTextModel, CLIPTokenizerFast

    with quiet():
        tokenizer = CLIPTokenizerFast.from_pretrained(folder / "tokenizer", local_files_only=True)
        model = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True)
    return ClipEncoder(tokenizer, model.float().eval(), mark)


@contextmanager
def quiet() -> Iterator[None]:
    """The model libraries' own warnings and progress bars held back; errors are not."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _place(prompt: str, start: int, end: int) -> tuple[int, int]:
    return (start, end) if end > start else (-1, -1)
