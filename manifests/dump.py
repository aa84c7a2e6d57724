"""A manifest that was given as a dict, as the text that diagnostics point into and that a delta records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import yaml

from editc.core.diagnostics import EditcError, fail


class _Dumper(yaml.SafeDumper):
    """Writes every value in full: manifests have no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """True: a value that stands in two places is written twice."""
        return True


def manifest_text(values: Mapping[str, Any]) -> str:
    """The YAML of a dict, its keys in their order, each scalar on one line. A path is a text. Raises E101 for values
    that no manifest has."""
    try:
        return yaml.dump(_plain(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20)
    except yaml.YAMLError as error:
        raise _value_error(error.args[-1]) from error
    except RecursionError as error:
        raise fail("E101", "the dict holds itself, and a manifest cannot", help="give each value once") from error


def _plain(value: Any) -> Any:
    """The value with mappings as dicts, sequences as lists and paths as texts."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _value_error(value: Any) -> EditcError:
    """Make the error E101 for a value that YAML does not write."""
    message = f"the dict holds a {type(value).__name__}, which no manifest has"
    return fail("E101", message, help="give texts, numbers, True or False, None, lists and dicts")
