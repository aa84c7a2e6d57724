"""One tensor to edit and what its bytes are to the delta, and all of them together: what an apply would do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from editc.core.delta import Delta, Factors, SiteRecord
from editc.formats.apply import finetune
from editc.formats.apply.quantised import RequantisationLoss
from editc.formats.models.model import Model, Tensor

State = Literal["already", "unchanged", "exact", "cast", "relative", "requantised", "refused"]
"""What the bytes of a tensor are to a delta: its result; base and result at once; its base; its base in another dtype;
a fine-tune's weights; quantised weights; none of these."""
Tier = Literal["exact", "cast", "relative", "requantised"]
"""The states of tensors that are to be written."""
TIERS: tuple[Tier, ...] = ("exact", "cast", "relative", "requantised")


@dataclass(frozen=True)
class TargetTensor:
    """One tensor to edit."""

    record: SiteRecord
    """The delta's record of the site: its name, and the hashes of its bases and results."""
    factors: Factors
    """The group of the delta that edits it."""
    k: int
    """Which of the group's factors: the tensor's number within the group."""
    delta_id: str
    """The delta that edits it."""
    tensor: Tensor
    """Where the model has it."""
    state: State
    """What its bytes are to the delta."""
    base: str
    """The sha256 of its bytes now."""
    result: str = ""
    """The sha256 of the result, of the tensor in its own shape where the file holds the transpose. Empty where neither
    the delta nor requantising tells it before it is written."""
    distance: float = 0.0
    """About |W - W0| / |W0| (Frobenius) from the base W0; 0 where the hashes know the tensor."""
    loss: RequantisationLoss | None = None
    """What requantising cost. None for a tensor that is not quantised."""

    @property
    def pending(self) -> bool:
        """True when this tensor is still to be written."""
        return self.state in TIERS


@dataclass(frozen=True)
class ApplyPlan:
    """The targets of all deltas in one model."""

    model: Model
    """The model to edit."""
    deltas: tuple[Delta, ...]
    """The deltas, in the order in which they were given."""
    targets: tuple[TargetTensor, ...]
    """Delta by delta, group by group."""
    notes: tuple[str, ...]
    """What the user should know beside the targets, a sentence each."""
    interrupted: bool
    """Whether an in-place run was killed, which is rolled back first."""

    def __repr__(self) -> str:
        """Short: a plan has a row for every tensor."""
        pending = sum(target.pending for target in self.targets)
        return f"<ApplyPlan for {self.model.place}: {self.status}, {pending} of {len(self.targets)} tensors to write>"

    @property
    def status(self) -> Literal["ready", "already"]:
        """`already` when no tensor is left to write."""
        return "ready" if any(target.pending for target in self.targets) else "already"

    @property
    def tier(self) -> Tier:
        """The loosest match among the tensors that are to be written."""
        found = {target.state for target in self.targets}
        return max((tier for tier in TIERS if tier in found), key=TIERS.index, default="exact")

    @property
    def distance(self) -> float:
        """About |W - W0| / |W0| (Frobenius) from the bases, over all tensors that are not edited yet; 0 where the
        hashes say that they are the bases."""
        return targets_distance(self.targets)

    @property
    def bytes_to_write(self) -> int:
        """Bytes of the tensors that will change."""
        return sum(target.tensor.nbytes for target in self.targets if target.pending)


def targets_distance(targets: Iterable[TargetTensor]) -> float:
    """The distance of several targets from their bases, over those that are not edited yet."""
    return finetune.joint_distance(
        [(target.record, target.distance) for target in targets if target.state != "already"]
    )
