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
    """What to export: `delta` to the path `out`, for `model` where the base's own weights are needed.

    `dtype` is that of the factors in the file: they are float32, and rounded only by request.
    """

    delta: Delta
    model: Model | None
    out: Path
    dtype: Dtype = "F32"
    allow_finetune: bool = False


@dataclass(frozen=True)
class Written:
    """What was written: `delta` is what the files say, to the bit. `rounding` is the largest relative error of one
    site's change, |change written - change asked for| / |change asked for| (Frobenius), that `dtype` brought."""

    files: tuple[Path, ...]
    delta: Delta
    rounding: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """How a consumer read an export: `matched` of `total` edited matrices, and the largest absolute `error` of the
    change that it holds against the change that the file says, over all entries, in float64. A consumer that computes
    may round: `bound` is the most that its arithmetic, as documented, can bring; 0 for one that only reads.

    `skipped` says why it was not tried.
    """

    consumer: str
    matched: int = 0
    total: int = 0
    error: float = 0.0
    skipped: str = ""
    bound: float = 0.0

    @property
    def passed(self) -> bool:
        """Everything matched without any error above the bound; or it was not tried."""
        return bool(self.skipped) or (self.matched == self.total and self.error <= self.bound)


class Reader(Protocol):
    """Rebuilds the delta that a file holds: `tensors` are its arrays as stored, `options` what the writer noted."""

    def __call__(
        self, description: Mapping[str, Any], tensors: Mapping[str, Any], options: Mapping[str, Any]
    ) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Format:
    """One way to write a delta. `output` is its file beside delta.safetensors under `emit`.

    `suits` gives the reason why deltas of a family cannot be exported so, or ''. `parts` is the inverse of `write` for
    files in the safetensors container or in ONNX: the factors by the names that a delta file gives them. `whole` gives
    the bytes of a file that a delta alone determines, so that a reader can ask for exactly those. `low_rank`: it holds
    factors only, so that a dense edit is refused. `lost` gives the reason why matrices of these names cannot be
    exported so, or ''. `needs` are the packages that write it, which are installed with the extra `extra`.
    """

    name: str
    output: str
    says: str
    suits: Callable[[str], str]
    write: Callable[[Job], Written]
    trials: Callable[[Job, Written], tuple[Trial, ...]] = field(default=lambda job, written: ())
    parts: Reader | None = None
    whole: Callable[[Delta], bytes] | None = None
    low_rank: bool = False
    lost: Callable[[Sequence[str]], str] = field(default=lambda names: "")
    needs: tuple[str, ...] = ()
    extra: str = ""
