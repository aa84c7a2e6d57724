"""What an apply would do: each tensor to edit, with what its bytes are for the delta, and the plan over all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from editc.core.delta import Delta, Factors, SiteRecord
from editc.formats.apply import finetune
from editc.formats.apply.quantised import RequantisationLoss
from editc.formats.models.model import Model, Tensor

State = Literal["already", "unchanged", "exact", "cast", "relative", "requantised", "refused"]
"""What the bytes of a tensor are for a delta: `already` its result; `unchanged` base and result at once; `exact` its
base; `cast` its base in another dtype; `relative` the weights of a fine-tune; `requantised` quantised weights;
`refused` none of these."""
Tier = Literal["exact", "cast", "relative", "requantised"]
"""The states of a tensor that is to be written."""
TIERS: tuple[Tier, ...] = ("exact", "cast", "relative", "requantised")
"""From the closest match to the loosest."""


@dataclass(frozen=True)
class TargetTensor:
    """One tensor to edit."""

    record: SiteRecord
    """The delta's record of the site: its name, and the hashes of its bases and results."""
    factors: Factors
    """The group of factors that edits it."""
    k: int
    """The number of the tensor within the group: which of the group's factors belong to it."""
    delta_id: str
    """The id of the delta that edits it."""
    tensor: Tensor
    """Where it is in the model."""
    state: State
    """What its bytes are for the delta."""
    base: str
    """The sha256 of its bytes now."""
    result: str = ""
    """The sha256 of the result. If the file holds the transpose, it is the hash of the tensor in its own orientation.
    Empty if the result is known only after it is computed."""
    distance: float = 0.0
    """About |W - W0| / |W0| (Frobenius norms) from the base W0. 0 if the hashes know the tensor."""
    loss: RequantisationLoss | None = None
    """What requantising did to the edit. None for a tensor that is not quantised."""

    @property
    def pending(self) -> bool:
        """True if the tensor is still to be written."""
        return self.state in TIERS


@dataclass(frozen=True)
class ApplyPlan:
    """The targets of all deltas in one model."""

    model: Model
    """The model to edit."""
    deltas: tuple[Delta, ...]
    """The deltas, in the order in which the caller gave them."""
    targets: tuple[TargetTensor, ...]
    """The targets, delta by delta and within a delta group by group."""
    notes: tuple[str, ...]
    """Sentences for the user."""
    interrupted: bool
    """True if an earlier apply in place was killed. The next one rolls it back first."""

    def __repr__(self) -> str:
        """A short text, because a plan has a row for every tensor."""
        pending = sum(target.pending for target in self.targets)
        return f"<ApplyPlan for {self.model.place}: {self.status}, {pending} of {len(self.targets)} tensors to write>"

    def _repr_html_(self) -> str:
        """What would be done, for notebooks."""
        from editc.notebook.table import size, table

        pending = sum(target.pending for target in self.targets)
        write = f"{pending} of {len(self.targets)} tensors, {size(self.bytes_to_write)}"
        rows = [("status", self.status), ("match", self.tier), ("to write", write)]
        return table(f"Plan for {self.model.place}", rows, self.notes)

    @property
    def status(self) -> Literal["ready", "already"]:
        """`ready`, or `already` if no tensor is left to write."""
        return "ready" if any(target.pending for target in self.targets) else "already"

    @property
    def tier(self) -> Tier:
        """The loosest match among the tensors to write; `exact` if there are none."""
        found = {target.state for target in self.targets}
        return max((tier for tier in TIERS if tier in found), key=TIERS.index, default="exact")

    @property
    def distance(self) -> float:
        """About |W - W0| / |W0| (Frobenius norms) from the bases, over all tensors that do not hold their results yet.
        0 if the hashes say that they are the bases."""
        return targets_distance(self.targets)

    @property
    def bytes_to_write(self) -> int:
        """The number of bytes in the tensors that will be written."""
        return sum(target.tensor.nbytes for target in self.targets if target.pending)


def targets_distance(targets: Iterable[TargetTensor]) -> float:
    """The joint distance of several targets from their bases, over those that do not hold their results yet."""
    return finetune.joint_distance(
        [(target.record, target.distance) for target in targets if target.state != "already"]
    )
