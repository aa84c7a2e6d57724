"""Statements in a few lines for people. A statement comes from a file, so nothing in it is taken for granted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from editc.core.text import count
from editc.signing.bom import BOM
from editc.signing.envelope import show
from editc.signing.provenance import PROVENANCE
from editc.signing.results import RESULT, stated_verdict
from editc.signing.statement import Statement


def summarise(statement: Statement) -> Iterator[str]:
    """The lines for one statement."""
    if statement.kind == PROVENANCE:
        yield from _provenance(statement.predicate)
    elif statement.kind == RESULT:
        yield from _results(statement.predicate)
    elif statement.kind == BOM:
        yield f"a bill of materials, CycloneDX {show(statement.predicate.get('specVersion'))[1:-1]}"
    else:
        yield f"something of the type {show(statement.kind)}"


def _provenance(predicate: Mapping[str, Any]) -> Iterator[str]:
    """Tool, manifests, and how many tensors of the base."""
    built, run = _block(predicate, "buildDefinition"), _block(predicate, "runDetails")
    tool = ", ".join(f"{name} {version}" for name, version in _block(_block(run, "builder"), "version").items())
    tensors = count(len(_items(built, "resolvedDependencies")), "tensor")
    yield f"made by {show(tool)[1:-1]} from {tensors} of a base"
    for one in map(_as_block, _items(_block(built, "externalParameters"), "manifests")):
        yield f"from the manifest with the sha256 {show(_block(one, 'digest').get('sha256', '?'))}"


def _results(predicate: Mapping[str, Any]) -> Iterator[str]:
    """Result, bounds, attacks and verdict."""
    holding, broken = (len(_items(predicate, name)) for name in ("passedTests", "failedTests"))
    yield f"tests {show(predicate.get('result'))}: {holding} of {count(holding + broken, 'bound')} met"
    for one in map(_as_block, _items(predicate, "attacks")):
        told = [show(one.get(name)) for name in ("attack", "concept", "shown", "of", "control")]
        yield "the attack {} brings {} back in {} of {} pictures, {} before the edit".format(*told)
    verdict = stated_verdict(predicate.get("verdict"))
    if verdict:
        yield f"verdict: {', '.join(f'{line} {state}' for line, state in verdict.items())}"


def _block(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under a name; empty for anything else."""
    return _as_block(value.get(name))


def _as_block(value: Any) -> Mapping[str, Any]:
    """An object; empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def _items(value: Mapping[str, Any], name: str) -> list[Any]:
    """The list under a name; empty for anything else."""
    found = value.get(name)
    return found if isinstance(found, list) else []
