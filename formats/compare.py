"""Which tensors two models differ in: headers first, then bytes, one pair of tensors in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from editc.delta import Array
from editc.diagnostics import Diagnostic, EditcError, fail
from editc.formats import folders
from editc.formats.checkpoint import Checkpoint, Model, Tensor
from editc.formats.ranges import read_range
from editc.numerics import dtypes
from editc.records import matrix_shape

Progress: TypeAlias = Callable[[str, Iterable[Any]], Iterable[Any]]
_SHOWN = 12


@dataclass(frozen=True)
class Changed:
    """One tensor that differs: the part it is in, its name there, and where its bytes are before and after."""

    component: str
    name: str
    before: Tensor
    after: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """The tensor's shape as a matrix."""
        rows, columns = matrix_shape(self.before.shape)
        return rows, columns

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.before.nbytes

    @property
    def dtype(self) -> str:
        """What both are stored in."""
        return self.before.dtype

    def raw(self) -> tuple[bytes, bytes]:
        """The stored bytes before and after."""
        return _read(self.before), _read(self.after)

    def differs(self) -> bool:
        """True unless the stored bytes are equal."""
        first, second = self.raw()
        return first != second

    def values(self) -> tuple[Array, Array]:
        """Both in float64, as matrices."""
        first, second = (dtypes.decode(raw, self.dtype, self.shape) for raw in self.raw())
        return first, second


@dataclass(frozen=True)
class Comparison:
    """The tensors that differ, in the order of their components and names; how many are equal; the components that
    could not be compared because their weights are pickles."""

    changed: tuple[Changed, ...]
    equal: int
    unread: tuple[str, ...]


def compare(base: Model, edited: Model, progress: Progress | None = None) -> Comparison:
    """Every tensor of both models. Raises E645 (not the same tensors), E646 (nothing differs), E648 (a tensor differs
    that no delta can change)."""
    before, after = _parts(base), _parts(edited)
    if before.keys() != after.keys():
        odd = sorted(before.keys() ^ after.keys())
        raise _unlike(edited, [f"component {name or '(the rest)'}" for name in odd], "are in one of them only")
    faults = [fault for name in before for fault in _faults(before[name], after[name], edited)]
    if faults:
        raise EditcError(*faults)
    every = [
        Changed(part, name, before[part].where(name), after[part].where(name))
        for part in before
        for name in before[part].names()
    ]
    watched = progress("comparing", every) if progress else every
    changed = tuple(one for one in watched if one.differs())
    if not changed:
        message = "the two models are equal, byte for byte"
        raise fail("E646", message, place=edited.place, help="is this the edited one?")
    _check_editable(changed, edited)
    return Comparison(changed, len(every) - len(changed), _unread(base))


def _parts(model: Model) -> Mapping[str, Checkpoint]:
    """The components by name; an LDM file has the parts that it holds and, under '', the tensors that are in none; the
    one component of a bare folder or file is '' too, for its name says nothing."""
    if model.kind == "pipeline":
        return {name: model.component(name) for name in sorted(model.components.keys() - set(_unread(model)))}
    ldm, whole = model.ldm_parts(), model.component()
    taken = {piece.name for part in ldm.values() for piece in part.values()}
    rest = {name: tensor for name, tensor in whole.tensors.items() if name not in taken}
    parts = {name: model.component(name) for name in sorted(ldm)}
    return ({"": Checkpoint("", rest)} if rest else {}) | parts


def _unread(model: Model) -> tuple[str, ...]:
    if model.kind != "pipeline":
        return ()
    return tuple(sorted(name for name, path in model.components.items() if not folders.has_safetensors(path)))


def _faults(before: Checkpoint, after: Checkpoint, edited: Model) -> Iterator[Diagnostic]:
    rows = [f"{name}: in BASE only" for name in sorted(before.tensors.keys() - after.tensors.keys())]
    rows += [f"{name}: in EDITED only" for name in sorted(after.tensors.keys() - before.tensors.keys())]
    if rows:
        yield from _unlike(edited, rows, "are in one of them only").diagnostics
    both = sorted(before.tensors.keys() & after.tensors.keys())
    shapes = [f"{n}: {before.shape(n)}, {after.shape(n)}" for n in both if before.shape(n) != after.shape(n)]
    if shapes:
        yield from _unlike(edited, shapes, "have another shape").diagnostics
    kinds = [f"{n}: {before.dtype(n)}, {after.dtype(n)}" for n in both if before.dtype(n) != after.dtype(n)]
    if kinds:
        help_text = "convert BASE to the dtype of EDITED first (each weight rounded once), and make the delta for that"
        yield from _unlike(edited, kinds, "are stored in another dtype", help_text).diagnostics


def _unlike(edited: Model, rows: Sequence[str], what: str, help_text: str = "") -> EditcError:
    more = [f"and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else []
    message = f"{len(rows)} tensors or components of the two models {what}, the first is '{rows[0].split(':')[0]}'"
    usual = "a delta changes the values of tensors that are there; it cannot add, remove or reshape one"
    return fail("E645", message, place=edited.place, help=help_text or usual, notes=[*rows[:_SHOWN], *more])


def _check_editable(changed: Sequence[Changed], edited: Model) -> None:
    rows = [f"{one.name}: {one.dtype}" for one in changed if one.dtype not in dtypes.EDITABLE]
    floats = [one for one in changed if one.dtype in dtypes.EDITABLE]
    rows += [f"{one.name}: NaN or infinity" for one in floats if not all(map(_finite(one.dtype), one.raw()))]
    if rows:
        known = ", ".join(dtypes.EDITABLE)
        message = f"{len(rows)} tensors differ in what no delta can say, the first is '{rows[0].split(':')[0]}'"
        help_text = f"a delta changes finite weights in {known}; look at how EDITED was made"
        raise fail("E648", message, place=edited.place, help=help_text, notes=rows[:_SHOWN])


def _finite(dtype: str) -> Callable[[bytes], bool]:
    return lambda raw: dtypes.is_finite(raw, dtype)


def _read(tensor: Tensor) -> bytes:
    return read_range(tensor.file, tensor.offset, tensor.nbytes)
