"""Kinds of values that only the manifests of language models have: prompts, inline or in a file, and layers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lines:
    """Prompts: a list, or the name of a file with one a line.

    With `answers` each may have its answer, as a key has its value, and in a file after a tab; with `slot` each has
    exactly one `{}`.
    """

    answers: bool = False
    slot: bool = False

    @property
    def expects(self) -> str:
        pairs = "prompts with their answers ({prompt: answer}), " * self.answers
        return f"{pairs}a list of prompts, or the name of a file with one a line"


@dataclass(frozen=True)
class Layers:
    """Numbers of layers from 0 on: `[4, 5, 6]`, `4-8`, `5`, or `auto`."""

    @property
    def expects(self) -> str:
        return "layers counted from 0, such as [4, 5, 6] or 4-8, or `auto`"


@dataclass(frozen=True)
class InFile:
    """Prompts that stand in a file; `attached` reads it."""

    name: str
    kind: Lines
