"""From the text of a plan to a `FleetPlan`, or to everything that is wrong with it at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.places import Source, Span
from editc.fleet import schema
from editc.fleet.verbs import call
from editc.manifests.decode import decode_block, read_source
from editc.manifests.faults import Faults, tick
from editc.manifests.fields import BlockValues
from editc.signing.places import belongs_to_a_delta

WILD = frozenset("*?[")
"""Characters that make a text a pattern."""


@dataclass(frozen=True)
class NamedInput:
    """A manifest, delta or model that a plan names."""

    name: str
    """Its name in the plan; for what a pattern found, the path from the plan's folder."""
    place: str
    """An absolute path, or for a model also a hub id or `editc:demo`."""
    span: Span
    """Where the plan names it."""


@dataclass(frozen=True)
class FleetPlan:
    """What is done, with which inputs, over which models."""

    source: Source
    """The text of the plan."""
    folder: str
    """The absolute path of its folder, at which its paths begin."""
    verb: str
    """`build`, `apply`, `verify` or `attack`."""
    inputs: tuple[NamedInput, ...]
    """The manifests, or the deltas."""
    models: tuple[NamedInput, ...]
    """The models."""
    options: Mapping[str, Any]
    """The options of the verb that the plan gives."""
    admits: str = ""
    """The hash of the policies that deltas must suit. Empty where the plan asks for none."""


def load_plan(path: Path) -> FleetPlan:
    """The plan in a file. Raises EditcError with everything that is wrong with it, E100 if it cannot be read."""
    plan, found = decode_plan(read_source(path, "plan"), path.absolute().parent)
    if plan is None:
        raise EditcError(*found)
    return plan


def decode_plan(source: Source, folder: Path) -> tuple[FleetPlan | None, tuple[Diagnostic, ...]]:
    """The plan in a text, and everything that is wrong with it. None if something is. `folder`: where its paths
    begin."""
    return decode_block(source, "plan", schema.PLAN, lambda block, faults: _read_plan(block, source, folder, faults))


def _read_plan(block: BlockValues, source: Source, folder: Path, faults: Faults) -> FleetPlan | None:
    """The plan from its block. None if it does not say what to do."""
    version = block.values.get("fleet")
    if version not in (None, schema.VERSION):
        message = f"this is plan version {version}; this editc reads version {schema.VERSION}"
        faults.add("E110", message, block.spans.get("fleet"), help=f"write `fleet: {schema.VERSION}`")
    verb = block.values.get("do")
    if verb is None:
        return None
    _check_keys(verb, block, faults)
    _check_wording(block, faults)
    key = schema.INPUT_KEYS[verb]
    inputs = _named(block, key, faults, lambda text: _paths(text, folder, verb))
    models = _named(block, "models", faults, lambda text: _models(text, folder))
    options = {name: block.values[name] for name in schema.OPTIONS[verb] if name in block.values}
    return FleetPlan(source, str(folder), verb, inputs, models, options, _admits(options, folder, block, faults))


def _admits(options: Mapping[str, Any], folder: Path, block: BlockValues, faults: Faults) -> str:
    """The hash of what the plan asks of deltas. What is wrong with a policy or a key is a fault of the plan."""
    if not {"policy", "require_signature"} & options.keys():
        return ""
    from editc.signing.trust import load_policies

    policy = folder / options["policy"] if "policy" in options else None
    try:
        policies = load_policies(policy, [folder / one for one in options.get("require_signature", ())])
    except EditcError as error:
        span = block.spans["policy" if "policy" in options else "require_signature"]
        faults.found.extend(one if one.span else _moved(one, span, faults.source) for one in error.diagnostics)
        return ""
    return " ".join(one.digest for one in policies)


def _moved(one: Diagnostic, span: Span, source: Source) -> Diagnostic:
    """A diagnostic about a file that the plan names, at its name in the plan."""
    notes = (*one.notes, f"in {one.place}") if one.place else one.notes
    return replace(one, span=span, source=source, notes=notes, place="")


def _check_keys(verb: str, block: BlockValues, faults: Faults) -> None:
    """E701 for missing or foreign inputs, E702 for options of other verbs."""
    wanted = schema.INPUT_KEYS[verb]
    foreign = [key for key in {*schema.INPUT_KEYS.values()} - {wanted} if f"{key}:" in block.spans]
    if not foreign and f"{wanted}:" not in block.spans:
        faults.add("E701", f"`do: {verb}` needs {tick(wanted)}", block.spans["do"], help=f"add `{wanted}: [...]`")
    for key in foreign:
        verbs = " or ".join(f"`do: {name}`" for name, one in schema.INPUT_KEYS.items() if one == key)
        message = f"`do: {verb}` takes {tick(wanted)}, not {tick(key)}"
        faults.add("E701", message, block.spans[f"{key}:"], help=f"remove it, or write {verbs}")
    known = {name for names in schema.OPTIONS.values() for name in names}
    for name in sorted(known - set(schema.OPTIONS[verb])):
        if f"{name}:" in block.spans:
            own = " and ".join(f"`{one}`" for one, names in schema.OPTIONS.items() if name in names)
            message = f"{tick(name)} is an option of {own}, not of `{verb}`"
            faults.add("E702", message, block.spans[f"{name}:"], help="remove it")


def _check_wording(block: BlockValues, faults: Faults) -> None:
    """What is wrong with the attacks and the detector, which are written as on the command line."""
    from editc.manifests.attacks import parse_attacks
    from editc.manifests.detector import parse_detector

    readers: Mapping[str, Callable[[str], Any]] = {"attacks": parse_attacks, "detector": parse_detector}
    for name, read in readers.items():
        if name in block.values:
            _pointed(lambda read=read, name=name: read(block.values[name]), block.spans[name], faults)  # type: ignore[misc]


def _named(
    block: BlockValues, key: str, faults: Faults, find: Callable[[str], Iterator[tuple[str, str]]]
) -> tuple[NamedInput, ...]:
    """What the items of a list name. E700 for an item that names nothing."""
    found: dict[str, NamedInput] = {}
    if block.values.get(key) == ():
        faults.add("E107", f"{tick(key)} is an empty list", block.spans[key], help="name at least one")
    spans = [span for name, span in block.spans.items() if name.startswith(f"{key}.")]
    for text, span in zip(block.values.get(key, ()), spans, strict=True):
        named = _pointed(lambda text=text: list(find(text)), span, faults)  # type: ignore[misc]
        if named == []:
            message = f"{tick(text)} matches nothing" if WILD & {*text} else f"there is no {tick(text)}"
            faults.add("E700", message, span, help="paths begin at the folder of the plan")
        for name, place in named or ():
            found.setdefault(place, NamedInput(name, place, span))
    return tuple(found.values())


def _pointed(read: Callable[[], Any], span: Span, faults: Faults) -> Any:
    """What `read` gives. None if it raises; its errors then point at `span`."""
    try:
        return read()
    except EditcError as error:
        for one in error.diagnostics:
            faults.add(one.code, one.message, span, help=one.help, notes=one.notes)
        return None


def _paths(text: str, folder: Path, verb: str) -> Iterator[tuple[str, str]]:
    """Name and absolute path of each file that a text names. For a delta: the file in the folder of a build. A pattern
    leaves out the signatures of deltas."""
    for name in _matches(text, folder):
        path = folder / name
        if path.exists() and not (WILD & {*text} and belongs_to_a_delta(name)):
            yield name, str(path if verb == "build" else call("delta_at", path))


def _models(text: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Name and place of each model that a text names, a path from the plan's folder first. Raises E610 and E614."""
    from editc.formats.models.paths import find_model

    for name in _matches(text, folder):
        path = (folder / name).absolute()
        if path.exists():
            yield name, str(path)
        else:
            find_model(name)
            there = Path(name).expanduser()
            yield name, str(there.absolute()) if there.exists() else name


def _matches(text: str, folder: Path) -> list[str]:
    """The text itself; for a pattern the names of what it finds in the folder, sorted."""
    if not WILD & {*text}:
        return [text]
    head = Path(text)
    if head.is_absolute():
        return sorted(str(path) for path in Path(head.anchor).glob(str(head.relative_to(head.anchor))))
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob(text) if not path.name.startswith("."))
