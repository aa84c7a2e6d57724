"""Quantised weights: recognise them, say why they are refused, and edit them if the user asks for it.

A delta is made for weights of full precision. On quantised ones the edit is relative: W' = W_q + dW, for the weights
W_q that the file stands for, and then Q(W') in the same format. Sizes and offsets do not change. The rounding error is
compared with the edit: if the edit is smaller than a step of the format, rounding removes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import prod, sqrt

import numpy as np

from editc.core.delta import Array, Delta, Factors, Site
from editc.core.diagnostics import fail
from editc.core.site_bytes import edit_bytes as edited_exactly
from editc.core.site_bytes import patch_as_stored, stored_shape
from editc.formats.containers.canonical import strict_json
from editc.formats.containers.table import container_of
from editc.formats.models.model import Checkpoint, Tensor
from editc.numerics.bits import blocks, dtypes

LEAST_SURVIVAL = 0.5
"""The smallest share of an edit that must be left after requantising. Measured in docs/measurements/quantised.md."""

WEAK = 0.9
"""Tensors with a smaller share left than this are named in a note. Chosen by hand."""

PACKED = {
    ".qweight": "GPTQ or AWQ",
    ".weight._data": "quanto",
    ".weight.absmax": "bitsandbytes, 4 bits",
    ".weight_packed": "compressed-tensors",
    ".SCB": "bitsandbytes, 8 bits",
}
"""The ending of a neighbouring tensor -> the program that packed `X.weight`."""

MESSAGES = {
    "E690": "target tensors are quantised",
    "E691": "target tensors are stored in a way that cannot be edited afterwards",
}
"""Code -> what is wrong with the targets."""
HELPS = {
    "E690": "edit the weights before they are quantised, then quantise the result; or run `editc apply --requantize`, "
    "which edits these and says what the rounding cost",
    "E691": "edit the weights before they are quantised or converted, then do that with the result",
}
"""Code -> what the user can do."""


@dataclass(frozen=True)
class RequantisationLoss:
    """What requantising did to an edit, as sums over the entries, so that the losses of several tensors add up.

    W_q are the weights before, W' = W_q + dW the wanted ones, and Q(W') those written.
    """

    edit_square: float = 0.0
    """|dW|^2, the squared norm of the edit."""
    error_square: float = 0.0
    """|Q(W') - W'|^2, the squared norm of the rounding error."""
    along_edit: float = 0.0
    """<Q(W') - W_q, dW>: the change that was written, along the edit."""
    clipped: int = 0
    """The number of weights outside the range of an 8-bit tensor. The tensor keeps its scale, so these become its
    largest value."""

    @property
    def error(self) -> float:
        """|Q(W') - W'| / |dW|; 0 without an edit."""
        return sqrt(self.error_square / self.edit_square) if self.edit_square else 0.0

    @property
    def survival(self) -> float:
        """<Q(W') - W_q, dW> / |dW|^2: the share of the edit that is left. 1 is all of it, and the value without an
        edit."""
        return self.along_edit / self.edit_square if self.edit_square else 1.0


def add_losses(losses: Iterable[RequantisationLoss]) -> RequantisationLoss:
    """Add up the losses of several tensors."""
    every = list(losses)
    return RequantisationLoss(*(sum(getattr(one, field.name) for one in every) for field in fields(RequantisationLoss)))


def is_requantisable(dtype: str) -> bool:
    """True for the formats that can be decoded exactly and encoded again."""
    return dtype in blocks.BLOCK_FORMATS or dtype in dtypes.EIGHT_BITS


def find_quantised_faults(
    delta: Delta, opened: Mapping[str, Checkpoint], requantize: bool
) -> Mapping[str, Mapping[str, str]]:
    """Find the quantised targets that are not edited: code (E690, E691) -> tensor -> a line that says what was
    found."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    bits = {index for factors in delta.factors.values() if factors.form == "xor" for index in factors.sites}
    for index, record in enumerate(delta.sites):
        checkpoint, name = opened[record.site.component], record.site.name
        why = _find_fault(checkpoint, record.site)
        if not why and index in bits and name in checkpoint.tensors and is_requantisable(checkpoint.dtype(name)):
            why = f"{checkpoint.dtype(name)}, and the delta changes bits that these weights do not have"
        if why:
            found["E691"][name] = f"{name}: {why}"
        elif not requantize and name in checkpoint.tensors and is_requantisable(checkpoint.dtype(name)):
            found["E690"][name] = f"{name}: {checkpoint.dtype(name)}{_scale_words(checkpoint.tensors[name])}"
    return found


def edit_stored_bytes(raw: bytes, tensor: Tensor, site: Site, factors: Factors, k: int) -> bytes:
    """Compute the bytes of an edited tensor in its own dtype or quantised format. Raises E626 and E691."""
    if tensor.dtype in dtypes.EDITABLE:
        return edited_exactly(raw, tensor.dtype, site, factors, k)
    return _encode(_change(raw, tensor, site, factors, k)[1], tensor, raw)


def requantise(raw: bytes, tensor: Tensor, site: Site, factors: Factors, k: int) -> tuple[bytes, RequantisationLoss]:
    """Compute the bytes of an edited quantised tensor, and what requantising did to the edit. Raises E626 and E691."""
    before, wanted = _change(raw, tensor, site, factors, k)
    result = _encode(wanted, tensor, raw)
    now, change = decode(result, tensor).reshape(wanted.shape), wanted - before
    along, cut = float(np.sum((now - before) * change)), _count_clipped(wanted, tensor)
    return result, RequantisationLoss(_square(change), _square(now - wanted), along, cut)


def decode(raw: bytes, tensor: Tensor) -> Array:
    """Decode a tensor's bytes into its weights, exactly, as float64 in the tensor's own shape."""
    if tensor.dtype in blocks.BLOCK_FORMATS:
        return blocks.decode(raw, tensor.dtype, tensor.shape)
    rows = tensor.shape[0] if tensor.shape else 1
    matrix = (rows, prod(tensor.shape) // max(1, rows))
    return (dtypes.decode(raw, tensor.dtype, matrix) * _read_scale(tensor)).reshape(tensor.shape)


def is_finite(raw: bytes, dtype: str) -> bool:
    """True if no weight is infinite or NaN."""
    return blocks.is_finite(raw, dtype) if dtype in blocks.BLOCK_FORMATS else dtypes.is_finite(raw, dtype)


def check_survival(losses: Mapping[str, RequantisationLoss], place: str) -> None:
    """Raise E693 if less than LEAST_SURVIVAL of the edit is left over all tensors together. `losses`: by tensor."""
    whole = add_losses(losses.values())
    if losses and whole.survival < LEAST_SURVIVAL:
        worst = sorted(losses, key=lambda name: losses[name].survival)[:12]
        message = f"requantising would leave {max(0.0, whole.survival):.0%} of the edit: it is smaller than the steps"
        help_ = "edit the weights before they are quantised, or take a finer format (Q8_0) of the model"
        notes = [f"{name}: {losses[name].survival:.0%} left" for name in worst]
        raise fail("E693", f"{message} of the format", place=place, help=help_, notes=notes)


def loss_notes(losses: Mapping[str, RequantisationLoss]) -> Sequence[str]:
    """Write the sentences for the user about requantised tensors; none if there are none."""
    if not losses:
        return ()
    whole = add_losses(losses.values())
    weak = sorted(name for name, loss in losses.items() if loss.survival < WEAK)
    sentences = [
        f"requantised: {whole.survival:.1%} of the edit is left, with an error of {whole.error:.2g} of its size",
        "quantised weights cannot be compared with the delta's base by hash; only the journal beside the model "
        "shows that the edit is in them",
    ]
    more = f" and {len(weak) - 1} more" if len(weak) > 1 else ""
    sentences += (
        [f"{whole.clipped} weights lie past the range of their tensor's scale and were cut off"]
        if whole.clipped
        else []
    )
    return [*sentences, *([f"less than {WEAK:.0%} of the edit is left in {weak[0]}{more}"] if weak else [])]


def _change(raw: bytes, tensor: Tensor, site: Site, factors: Factors, k: int) -> tuple[Array, Array]:
    """W_q and W' as float64 matrices in the orientation of the file. Raises E626 if W' is not finite."""
    before = decode(raw, tensor).reshape(stored_shape(site))
    wanted = patch_as_stored(before, site.transposed, factors, k)
    if not np.isfinite(wanted).all():
        message = f"the edited tensor '{site.name}' would not be finite, or the base is not"
        raise fail("E626", message, place=str(tensor.file), help="fetch the model again")
    return before, wanted


def _encode(values: Array, tensor: Tensor, old: bytes) -> bytes:
    """Encode weights in the tensor's format. `old`: its present bytes, which `blocks.encode` reads."""
    if tensor.dtype in blocks.BLOCK_FORMATS:
        return blocks.encode(values, tensor.dtype, old)
    most = dtypes.largest(tensor.dtype)
    return dtypes.encode(np.clip(values / _read_scale(tensor), -most, most), tensor.dtype)


def _count_clipped(values: Array, tensor: Tensor) -> int:
    """Count the weights outside the range of an 8-bit tensor; 0 for block formats."""
    if tensor.dtype in blocks.BLOCK_FORMATS:
        return 0
    return int(np.count_nonzero(np.abs(values / _read_scale(tensor)) > dtypes.largest(tensor.dtype)))


def _read_scale(tensor: Tensor) -> Array:
    """Read the scale of an 8-bit tensor: (1, 1), or one per row (d_out, 1). Ones if it has none. Raises E691 if one is
    not a positive number."""
    at = tensor.scale
    if at is None:
        return np.ones((1, 1))
    scale = dtypes.decode(at.read_stored(), at.dtype, (-1, 1))
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise fail("E691", "a scale of the quantised weights is not a positive number", place=str(at.file))
    return scale


def _find_fault(checkpoint: Checkpoint, site: Site) -> str:
    """Say why a target cannot be edited even by requantising, or ''."""
    packer = _find_packer(checkpoint, site.name)
    tensor = checkpoint.tensors.get(site.name)
    if tensor is None:
        return f"packed by {packer}" if packer else ""
    if tensor.fault:
        return tensor.fault
    converter = container_of(tensor.file).converter
    if site.transposed and converter:
        return f"{converter} stores the transpose of it"
    if tensor.dtype in dtypes.EIGHT_BITS:
        return _find_scale_fault(tensor)
    if tensor.dtype in dtypes.EDITABLE or is_requantisable(tensor.dtype):
        return ""
    if packer:
        return f"{tensor.dtype}, by {packer}"
    return tensor.dtype if converter else ""


def _find_scale_fault(tensor: Tensor) -> str:
    """Say why the scale of an 8-bit tensor is of an unknown form, or ''."""
    at = tensor.scale
    rows = tensor.shape[:1]
    if at is None or (at.dtype in dtypes.EDITABLE and (prod(at.shape) == 1 or at.shape in (rows, (*rows, 1)))):
        return ""
    return f"{tensor.dtype} with scales {list(at.shape)} of {at.dtype}: editc needs one scale, or one for each row"


def _scale_words(tensor: Tensor) -> str:
    """Describe the scale of a tensor for a message; '' without one."""
    return "" if tensor.scale is None else f" with {'one scale' if prod(tensor.scale.shape) == 1 else 'a scale a row'}"


def _find_packer(checkpoint: Checkpoint, name: str) -> str:
    """Name the program that packed a tensor: by the names of its neighbours, or by config.json if the tensor is
    missing. '' if neither tells."""
    stem = name.removesuffix(".weight")
    for ending, what in PACKED.items():
        if f"{stem}{ending}" in checkpoint.tensors:
            return what
    return _quantisation_method(checkpoint) if name not in checkpoint.tensors else ""


def _quantisation_method(checkpoint: Checkpoint) -> str:
    """The `quant_method` in the config.json beside the weights, or ''."""
    files = {tensor.file.parent / "config.json" for tensor in checkpoint.tensors.values()}
    try:
        value = strict_json(min(files).read_bytes()) if files else {}
        method = value["quantization_config"]["quant_method"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return str(method)[:60]


def _square(values: Array) -> float:
    """The sum of the squared entries."""
    return float(np.sum(values * values))
