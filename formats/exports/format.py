"""What an export is: one delta in the spelling of another program, with everything needed to read it back.

A format's `write` first lowers the delta to what the spelling can say (`lowering`), which gives a delta of its
own, with its own hashes and `delta_id`; the file holds exactly that one and carries its description, so editc reads,
checks and applies the file like any delta. `trials` then let the real consumer read the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from editc.core.delta import Delta
from editc.formats.models.model import Model

Dtype: TypeAlias = Literal["F32", "F16", "BF16"]
DTYPES: Mapping[str, Dtype] = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
"""As people name them."""


@dataclass(frozen=True)
class Job:
    """What to export."""

    delta: Delta
    """The delta."""
    model: Model | None
    """The model that it is for, where the base's own weights or its configuration are needed. None where the user named
    none."""
    out: Path
    """The path of the file or folder to write."""
    dtype: Dtype = "F32"
    """The dtype of the factors in the file: they are float32, and rounded only by request."""
    allow_finetune: bool = False
    """Whether the export may be for a fine-tune's weights."""


@dataclass(frozen=True)
class Written:
    """What was written."""

    files: tuple[Path, ...]
    """The files; of a format with `parts` the one with the tensors comes first."""
    delta: Delta
    """The delta that the files hold, to the bit."""
    rounding: float = 0.0
    """The largest relative error of one site's change that `dtype` brought: |change written - change asked for| /
    |change asked for| (Frobenius)."""
    notes: tuple[str, ...] = ()
    """What the user should know, a sentence each."""


@dataclass(frozen=True)
class ConsumerTrial:
    """How another program read an export."""

    consumer: str
    """The program and its version."""
    matched: int = 0
    """How many edited matrices it holds."""
    total: int = 0
    """How many there are, with those that it holds and the delta does not edit."""
    error: float = 0.0
    """The largest absolute error of the change that it holds against the change that the file says, over all entries,
    in float64."""
    skipped: str = ""
    """Why it was not tried. Empty: it was."""
    bound: float = 0.0
    """The most that its arithmetic, as documented, can bring; 0 for a program that only reads."""

    @property
    def passed(self) -> bool:
        """Everything matched without any error above the bound; or it was not tried."""
        return bool(self.skipped) or (self.matched == self.total and self.error <= self.bound)


class PartsReader(Protocol):
    """Rebuilds the delta that a file holds: `tensors` are its arrays as stored, `options` what the writer noted."""

    def __call__(
        self, description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Format:
    """One way to write a delta."""

    name: str
    """Its name under `emit` and `--as`."""
    output: str
    """The name of its file or folder beside delta.safetensors under `emit`."""
    says: str
    """What it is and who reads it, in one line."""
    suits: Callable[[str], str]
    """Gives the reason why deltas of a family cannot be exported so, or ''. editc's own formats have it in
    `suits.SUITS`."""
    write: Callable[[Job], Written]
    """Writes it."""
    trials: Callable[[Job, Written], tuple[ConsumerTrial, ...]] = field(default=lambda job, written: ())
    """Has the programs that it is for read what was written."""
    parts: PartsReader | None = None
    """The inverse of `write`: the factors by the names that a delta file gives them. None: the file is not read back by
    its tensors."""
    whole: Callable[[Delta], bytes] | None = None
    """Gives the bytes of a file that a delta alone determines, so that a reader can ask for exactly those. None: it has
    other bytes beside the delta's."""
    low_rank: bool = False
    """Whether it holds factors only, so that a dense edit is refused."""
    lost: Callable[[Sequence[str]], str] = field(default=lambda names: "")
    """Gives the reason why matrices of these names cannot be exported so, or ''."""
    needs: tuple[str, ...] = ()
    """The packages that write it."""
    extra: str = ""
    """The extra of editc with which those packages are installed."""
