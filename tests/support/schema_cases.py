"""Golden mistakes of shape, and the places of a manifest that its JSON Schema refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

from check_jsonschema.parsers.yaml import ParseError, construct_yaml_implementation, impl2loader
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from places import CASES

from editc.manifests.decode import parse_file
from editc.manifests.tree import Items, Node, Pairs

SHAPE = {"E102", "E104", "E105", "E106", "E107", "E110", "E112", "E113", "E114", "E130", "E131", "E135", "E187"}
"""Codes of what a schema can see: a key that is unknown, missing or out of place, and a value of another type, out of
bounds, empty, or with a name that there is not."""
Place: TypeAlias = tuple[int, int]
"""Line and column, counted from 1."""
LOAD = impl2loader(construct_yaml_implementation())
"""Reads YAML as check-jsonschema does."""


def good_cases() -> tuple[Path, ...]:
    """Golden manifests without an error. Those that are mended by overrides are left out."""
    texts = ((path, path.with_suffix(".txt").read_text(encoding="utf-8")) for path in sorted(CASES.glob("*/*.yaml")))
    return tuple(path for path, text in texts if "error[" not in text and "# set:" not in path.read_text("utf-8"))


def mistakes(path: Path) -> tuple[tuple[str, Place], ...]:
    """Code and place of every golden mistake of shape in a case, but for those in overrides."""
    text = path.with_suffix(".txt").read_text(encoding="utf-8")
    found = re.findall(rf"^error\[(E\d+)\]: .*\n *--> {re.escape(path.name)}:(\d+):(\d+)$", text, re.MULTILINE)
    return tuple((code, (int(line), int(column))) for code, line, column in found if code in SHAPE)


def refused_places(path: Path, validator: Validator) -> set[Place]:
    """Where in a manifest the schema refuses something. Empty for a file that a YAML reader does not take."""
    try:
        data: Any = LOAD(BytesIO(path.read_bytes()))
    except (ParseError, RecursionError, ValueError):
        return set()
    root = parse_file(path).root
    errors = [one for error in validator.iter_errors(data) for one in (error, *_below(error))]
    return {place for error in errors for place in _places(root, error)}


def _below(error: ValidationError) -> Iterator[ValidationError]:
    """Why each of several allowed forms does not fit."""
    for one in error.context or ():
        yield from (one, *_below(one))


def _places(root: Node | None, error: ValidationError) -> Iterator[Place]:
    """The value that is refused; or the keys, where a block has others than it may."""
    node, strange = root, _strange_keys(error)
    for step in error.absolute_path:
        node = _child(node, step)
    if node is None:
        return
    keys = [key.span for key, _ in node.pairs if key.text in strange] if isinstance(node, Pairs) else []
    yield from ((span.line, span.column) for span in keys or [node.span])


def _child(node: Node | None, step: str | int) -> Node | None:
    """The value at one step of a path."""
    if isinstance(node, Items) and isinstance(step, int):
        return node.items[step]
    pairs = node.pairs if isinstance(node, Pairs) else ()
    return next((value for key, value in pairs if key.text == str(step)), None)


def _strange_keys(error: ValidationError) -> set[str]:
    """The keys that an error is about: those that a block may not have, or one that is badly written."""
    block, rules = error.instance, error.schema
    if error.validator == "additionalProperties" and isinstance(block, dict) and isinstance(rules, dict):
        return set(map(str, block)) - set(rules.get("properties", {}))
    return {block} if isinstance(block, str) else set()
