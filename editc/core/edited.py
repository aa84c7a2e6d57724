"""Which prompts a manifest edits. The warning about edited neighbours and the count of neighbours share this rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from editc.core.language_edits import Fact, LanguageEdit, Redirect
from editc.core.manifest import Manifest
from editc.core.places import Span
from editc.core.text import fold_name


def edited_texts(edit: LanguageEdit) -> Iterator[tuple[str, Span | None]]:
    """Each text that an edit changes, with its place: the prompt of a fact, every name of a concept."""
    if isinstance(edit, Fact):
        yield edit.prompt, edit.at("template")
        return
    yield edit.concept, edit.at("concept")
    if isinstance(edit, Redirect):
        for i, name in enumerate(edit.also):
            yield name, edit.at(f"also.{i}")


@dataclass(frozen=True)
class EditedPrompts:
    """The prompts that a manifest edits: prompts and paraphrases of facts, and every prompt that names a redirected or
    erased concept."""

    manifest: Manifest
    """The manifest."""

    @cached_property
    def prompts(self) -> dict[str, Span | None]:
        """Each prompt or paraphrase of a fact, folded (`fold_name`) for comparison, with the place of the fact."""
        facts = self.manifest.facts
        return {fold_name(text): fact.at("template") for fact in facts for text in (fact.prompt, *fact.paraphrases)}

    @cached_property
    def names(self) -> dict[str, Span | None]:
        """Each name of a redirected or erased concept, folded for comparison, with its place."""
        return {fold_name(name): span for edit in self.manifest.redirects for name, span in edited_texts(edit)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Matches any of the names as whole words, the longest first."""
        longest = sorted(self.names, key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)")

    def find_name(self, prompt: str) -> str | None:
        """The folded name of a concept that stands in the prompt as whole words. None where no name does."""
        found = self._pattern.search(fold_name(prompt)) if self.names else None
        return found[0] if found else None

    def contains(self, prompt: str) -> bool:
        """True for a prompt that is edited, and therefore is no neighbour."""
        return fold_name(prompt) in self.prompts or self.find_name(prompt) is not None

    def span_of(self, prompt: str) -> Span | None:
        """The place of the edit that changes this prompt. None where no edit does."""
        return self.prompts.get(fold_name(prompt)) or self.names.get(self.find_name(prompt) or "")
