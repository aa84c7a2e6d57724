"""Which prompts are edited themselves: one rule for the warning about such neighbours and for leaving them out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from editc.core.manifest import Ablation, Fact, Manifest, Redirect
from editc.core.places import Span
from editc.core.text import fold_name


def edited_texts(edit: Fact | Redirect | Ablation) -> Iterator[tuple[str, Span | None]]:
    """What an edit changes, with its place: the prompt of a fact, every name of a concept."""
    if isinstance(edit, Fact):
        yield edit.prompt, edit.at("template")
        return
    yield edit.concept, edit.at("concept")
    if isinstance(edit, Redirect):
        for i, name in enumerate(edit.also):
            yield name, edit.at(f"also.{i}")


@dataclass(frozen=True)
class EditedPrompts:
    """The prompts and paraphrases of facts, and the names of redirected and erased concepts."""

    manifest: Manifest

    @cached_property
    def prompts(self) -> dict[str, Span | None]:
        """Each in the form in which two prompts are compared, with the place of its fact."""
        facts = self.manifest.facts
        return {fold_name(text): fact.at("template") for fact in facts for text in (fact.prompt, *fact.paraphrases)}

    @cached_property
    def names(self) -> dict[str, Span | None]:
        """Each name in the form in which two names are compared, with its place."""
        return {fold_name(name): span for edit in self.manifest.redirects for name, span in edited_texts(edit)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest = sorted(self.names, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")

    def find_name(self, prompt: str) -> str | None:
        """The redirected name that stands in a prompt as whole words."""
        found = self._pattern.search(fold_name(prompt)) if self.names else None
        return found[0] if found else None

    def contains(self, prompt: str) -> bool:
        """True for a prompt that is edited, and is no neighbour therefore."""
        return fold_name(prompt) in self.prompts or self.find_name(prompt) is not None

    def span_of(self, prompt: str) -> Span | None:
        """The place of what edits a prompt that is edited."""
        return self.prompts.get(fold_name(prompt)) or self.names.get(self.find_name(prompt) or "")
