"""Change some fields of a manifest's text. It works on YAML's nodes, so no other value changes; comments are lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from editc.core.diagnostics import fail

AmendedValue: TypeAlias = str | float | Sequence[str]
"""A value to set: a text, a number, or a list of texts."""


@dataclass(frozen=True)
class Amendment:
    """The values to set in a manifest."""

    edits: Mapping[int, Mapping[str, AmendedValue]] = field(default_factory=dict)
    """Number of an edit, counted from 0 -> the keys to set in it."""
    preserve: Mapping[str, AmendedValue] = field(default_factory=dict)
    """Keys to set in the block `preserve`; it is added if the manifest has none."""


def refuse_existing(*paths: Path, help: str = "name another: `editc suggest` replaces no file") -> None:
    """Raise E171 for the first of `paths` that exists, so that nobody's file is replaced."""
    for path in paths:
        if path.exists():
            raise fail(
                "E171",
                "the file exists already",
                place=str(path),
                help=help,
            )


def amend(text: str, changes: Amendment) -> str:
    """The text of a sound manifest with the changes made. A new list or number replaces the old value."""
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
    """The value of the key `name`. None if the block does not have it."""
    return next((value for key, value in block.value if key.value == name), None)


def _set(block: yaml.MappingNode, name: str, value: AmendedValue) -> None:
    """Set the key `name` to a text, a number or a list."""
    if isinstance(value, str):
        _replace_node(block, name, _text(value))
    elif isinstance(value, float):
        _replace_node(block, name, yaml.ScalarNode("tag:yaml.org,2002:float", repr(value)))
    else:
        items = [_text(item) for item in value]
        _replace_node(block, name, yaml.SequenceNode("tag:yaml.org,2002:seq", items, flow_style=True))


def _replace_node(block: yaml.MappingNode, name: str, value: yaml.Node) -> None:
    """Set the key `name` to a node, at the end of the block."""
    others = [pair for pair in block.value if pair[0].value != name]
    block.value = [*others, (_text(name), value)]


def _text(value: str) -> yaml.ScalarNode:
    """A node for a text."""
    return yaml.ScalarNode("tag:yaml.org,2002:str", value)
