"""The cells of a plan: each input with each model, named by what they hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.ports import Progress
from editc.core.storage.caching import cache_key
from editc.fleet.content import KnownHashes
from editc.fleet.plan import FleetPlan, NamedInput
from editc.fleet.verbs import call

LAYOUT = "cell 1"
"""Part of every cell's name. Change it when a cell's result has another shape."""


@dataclass(frozen=True)
class Cell:
    """One input with one model. Its fields are plain values, because engines carry it to other processes."""

    name: str
    """The sha256 over verb, options, both hashes and the program: a changed input is another cell."""
    verb: str
    """`build`, `apply`, `verify` or `attack`."""
    input: str
    """The absolute path of the manifest or the delta."""
    input_name: str
    """The input as the plan names it."""
    input_hash: str
    """The hash of what it holds."""
    model: str
    """The model as the verb takes it: an absolute path, a hub id or `editc:demo`."""
    model_name: str
    """The model as the plan names it."""
    model_hash: str
    """The hash of what it holds."""
    options: Mapping[str, Any]
    """The options of the verb."""
    tool: str
    """The program and its version."""
    folder: str
    """The folder of the plan, in which the cell runs: a path in a manifest that is not beside it begins there."""

    @property
    def title(self) -> str:
        """The cell in words, for messages."""
        return f"{self.input_name} x {self.model_name}"

    def as_job(self) -> dict[str, Any]:
        """The cell as plain JSON values."""
        return asdict(self) | {"options": dict(self.options)}


def plan_cells(
    plan: FleetPlan, known: KnownHashes, progress: Progress | None = None
) -> tuple[tuple[Cell, ...], tuple[Diagnostic, ...]]:
    """The cells of a plan, input by input, each once; and E703, a warning, for inputs that hold the same.

    Raises EditcError with a place in the plan for each input that cannot be read.
    """
    inputs = _hashed(plan, plan.inputs, lambda one: _hash_input(plan.verb, one.place, known, plan.folder), progress)
    models = _hashed(plan, plan.models, lambda one: known.of_model(one.place), progress)
    known.save()
    cells: dict[str, Cell] = {}
    for one, input_hash in inputs:
        for model, model_hash in models:
            cell = _cell(plan, one, input_hash, model, model_hash)
            cells.setdefault(cell.name, cell)
    return tuple(cells.values()), (*_twins(plan, inputs), *_twins(plan, models))


def hash_inputs(cell: Cell, known: KnownHashes) -> tuple[str, str]:
    """The hashes of a cell's input and model as they are here and now. Raises EditcError if one cannot be read."""
    return _hash_input(cell.verb, cell.input, known, cell.folder), known.of_model(cell.model)


def model_override(cell: Cell) -> str:
    """The `--set` by which a manifest is built for the cell's model: a path from the manifest's folder, so that the
    delta is the same wherever the folders lie."""
    model, folder = cell.model, Path(cell.input).parent
    if Path(model).is_absolute():
        near = os.path.relpath(model, folder)
        if (folder / near).exists() and (folder / near).samefile(model):
            model = Path(near).as_posix()
    return f"model={dumps(model)}"


def _hash_input(verb: str, place: str, known: KnownHashes, folder: str) -> str:
    """The hash of a manifest or a delta."""
    return known.of_manifest(Path(place), Path(folder)) if verb == "build" else known.of_file(Path(place))


def _hashed(
    plan: FleetPlan, inputs: Sequence[NamedInput], read: Callable[[NamedInput], str], progress: Progress | None
) -> tuple[tuple[NamedInput, str], ...]:
    """Each input with its hash. Raises EditcError with a place in the plan for all that cannot be read."""
    found: list[tuple[NamedInput, str]] = []
    wrong: list[Diagnostic] = []
    watched: Iterable[Any] = progress("hash", inputs) if progress else inputs
    for one in watched:
        try:
            found.append((one, read(one)))
        except EditcError as error:
            place = {"span": one.span, "source": plan.source, "place": ""}
            wrong += [Diagnostic(**{**_fields(each), **place}) for each in error.diagnostics]
    if wrong:
        raise EditcError(*wrong)
    return tuple(found)


def _fields(one: Diagnostic) -> dict[str, Any]:
    """The fields of a diagnostic; its own place goes into a note."""
    notes = (*one.notes, f"in {one.place}") if one.place else one.notes
    return {"code": one.code, "message": one.message, "help": one.help, "notes": notes, "severity": one.severity}


def _cell(plan: FleetPlan, one: NamedInput, input_hash: str, model: NamedInput, model_hash: str) -> Cell:
    """The cell of an input with a model."""
    options = dumps(dict(plan.options), sort_keys=True)
    admits = (plan.admits,) if plan.admits else ()
    name = cache_key(LAYOUT, call("tool"), plan.verb, options, input_hash, model_hash, *admits)
    given = one.place, one.name, input_hash, model.place, model.name, model_hash
    return Cell(name, plan.verb, *given, plan.options, call("tool"), plan.folder)


def _twins(plan: FleetPlan, inputs: Sequence[tuple[NamedInput, str]]) -> Iterator[Diagnostic]:
    """E703 for inputs that hold the same as an earlier one, and so are the same cells."""
    first: dict[str, NamedInput] = {}
    for one, digest in inputs:
        if digest in first:
            message, help_text = f"`{first[digest].name}` and `{one.name}` hold the same", "name one of them"
            yield Diagnostic("E703", message, span=one.span, source=plan.source, severity="warning", help=help_text)
        first.setdefault(digest, one)
