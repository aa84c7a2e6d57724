"""Kinds of values that only a language model's manifest has: prompts, inline or in a file, and layers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PromptList:
    """Prompts: a list, or the name of a file with one prompt a line."""

    answers: bool = False
    """True if a prompt may have an answer: the value of its key, or the text after a tab in a file."""
    slot: bool = False
    """True if each prompt must have exactly one `{}`."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        pairs = "prompts with their answers ({prompt: answer}), " * self.answers
        return f"{pairs}a list of prompts, or the name of a file with one a line"


@dataclass(frozen=True)
class Layers:
    """Numbers of layers from 0 on: `[4, 5, 6]`, `4-8`, `5`, or `auto`."""

    @property
    def expects(self) -> str:
        """What error messages say was expected here."""
        return "layers counted from 0, such as [4, 5, 6] or 4-8, or `auto`"


@dataclass(frozen=True)
class PromptFile:
    """Prompts in a file, which `attached` reads later."""

    name: str
    """The file's name, relative to the manifest."""
    kind: PromptList
    """The rules for its lines."""
