"""What an export is: one delta in the spelling of another program, with everything that editc needs to read it back.

A format's `write` first converts the delta to a form that the spelling has (`lowering`). This gives a delta of its own,
with its own hashes and `delta_id`. The file holds exactly that delta and its description, so editc reads, checks and
applies it like any delta. Then the `trials` let the programs that the format is for read the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from editc.core.delta import Delta
from editc.formats.models.model import Model

Dtype: TypeAlias = Literal["F32", "F16", "BF16"]
"""The dtypes in which an export can hold factors."""
DTYPES: Mapping[str, Dtype] = {"fp32": "F32", "fp16": "F16", "bf16": "BF16"}
"""The dtype's name on the command line -> its name in a file."""


@dataclass(frozen=True)
class Job:
    """What to export, and where to."""

    delta: Delta
    """The delta."""
    model: Model | None
    """The model that the delta is for, if the export needs its weights or its configuration. None if the user named
    none."""
    out: Path
    """The path of the file or folder to write."""
    dtype: Dtype = "F32"
    """The dtype of the factors in the file. Factors are float32 and are rounded only if the user asks for it."""
    allow_finetune: bool = False
    """True if the export may be for the weights of a fine-tune."""


@dataclass(frozen=True)
class Written:
    """What an export wrote."""

    files: tuple[Path, ...]
    """The files. If the format has `parts`, the file with the tensors comes first."""
    delta: Delta
    """The delta that the files hold, to the bit."""
    rounding: float = 0.0
    """The largest relative error that rounding to `dtype` caused in one site: |change written - change wanted| /
    |change wanted| (Frobenius norms)."""
    notes: tuple[str, ...] = ()
    """Sentences for the user."""


@dataclass(frozen=True)
class ConsumerTrial:
    """How another program read an export."""

    consumer: str
    """The program and its version."""
    matched: int = 0
    """The number of edited matrices that the program holds after reading."""
    total: int = 0
    """The number of edited matrices, and of matrices that the program changes although the delta does not."""
    error: float = 0.0
    """The largest absolute difference, over all entries, between the change that the program holds and the change in
    the file; in float64."""
    skipped: str = ""
    """Why the trial was not made. Empty if it was made."""
    bound: float = 0.0
    """The largest error that the program's documented arithmetic can cause; 0 for a program that only reads."""

    @property
    def passed(self) -> bool:
        """True if every matrix matched and the error is within the bound, or if the trial was not made."""
        return bool(self.skipped) or (self.matched == self.total and self.error <= self.bound)


class PartsReader(Protocol):
    """Reads back the factors of the delta that a file holds.

    `description`: the delta's description in the note. `tensors`: the file's arrays by name. `options`: what the writer
    recorded in the note. Returns the factors by the names that a delta file gives them.
    """

    def __call__(
        self, description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Format:
    """One way to write a delta."""

    name: str
    """The name under `emit` and `--as`."""
    output: str
    """The name of the file or folder that `emit` writes beside delta.safetensors."""
    says: str
    """What the format is and which programs read it, in one line."""
    suits: Callable[[str], str]
    """Returns the reason why deltas of a family cannot be exported in this format, or ''. The formats of editc take it
    from `suits.SUITS`."""
    write: Callable[[Job], Written]
    """Writes the export."""
    trials: Callable[[Job, Written], tuple[ConsumerTrial, ...]] = field(default=lambda job, written: ())
    """Lets the programs that the format is for read what was written."""
    parts: PartsReader | None = None
    """The inverse of `write`: returns the factors by the names that a delta file gives them. None if the file cannot be
    read back by its tensors."""
    whole: Callable[[Delta], bytes] | None = None
    """Returns the bytes of a file that follows from the delta alone, so that a reader can compare every byte. None if
    the file holds more than the delta."""
    low_rank: bool = False
    """True if the format holds only thin factors, so that a dense edit is refused."""
    lost: Callable[[Sequence[str]], str] = field(default=lambda names: "")
    """Returns the reason why matrices of these names cannot be exported in this format, or ''."""
    needs: tuple[str, ...] = ()
    """The packages that `write` needs."""
    extra: str = ""
    """The extra of editc that installs those packages."""
