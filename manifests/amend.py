"""A manifest with some of its fields changed, as text that reads back: through YAML's nodes, so that no value is
touched that was not asked for. Comments are lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from editc.core.diagnostics import fail

AmendedValue: TypeAlias = str | float | Sequence[str]


@dataclass(frozen=True)
class Amendment:
    """The values to set in a manifest."""

    edits: Mapping[int, Mapping[str, AmendedValue]] = field(default_factory=dict)
    """Number of an edit, counted from 0 -> the keys to set in it."""
    preserve: Mapping[str, AmendedValue] = field(default_factory=dict)
    """Keys to set in the block `preserve`; it is added if the manifest has none."""


def refuse_existing(*paths: Path) -> None:
    """Raises E171 for the first of `paths` that is taken: what was written by hand is not replaced."""
    for path in paths:
        if path.exists():
            raise fail("E171", "there is a file already", place=str(path), help="name another: suggest replaces none")


def amend(text: str, changes: Amendment) -> str:
    """The text of a sound manifest with the changes made; lists and numbers in place of what was there."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    edits = _get(root, "edits")
    assert isinstance(edits, yaml.SequenceNode)
    for index, values in changes.edits.items():
        block = edits.value[index]
        inner = _get(block, "replace")
        for name, value in values.items():
            _set(inner if isinstance(inner, yaml.MappingNode) else block, name, value)
    if changes.preserve:
        preserve = _get(root, "preserve")
        if not isinstance(preserve, yaml.MappingNode):
            preserve = yaml.MappingNode("tag:yaml.org,2002:map", [])
            _replace_node(root, "preserve", preserve)
        for name, value in changes.preserve.items():
            _set(preserve, name, value)
    return str(yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True, width=120))


def _get(block: yaml.MappingNode, name: str) -> yaml.Node | None:
    return next((value for key, value in block.value if key.value == name), None)


def _set(block: yaml.MappingNode, name: str, value: AmendedValue) -> None:
    if isinstance(value, str):
        _replace_node(block, name, _text(value))
    elif isinstance(value, float):
        _replace_node(block, name, yaml.ScalarNode("tag:yaml.org,2002:float", repr(value)))
    else:
        items = [_text(item) for item in value]
        _replace_node(block, name, yaml.SequenceNode("tag:yaml.org,2002:seq", items, flow_style=True))


def _replace_node(block: yaml.MappingNode, name: str, value: yaml.Node) -> None:
    kept = [pair for pair in block.value if pair[0].value != name]
    block.value = [*kept, (_text(name), value)]


def _text(value: str) -> yaml.ScalarNode:
    return yaml.ScalarNode("tag:yaml.org,2002:str", value)
