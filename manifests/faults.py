"""Faults: the list of mistakes that reading a manifest fills; and words for their messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from editc.core.diagnostics import Diagnostic, Severity
from editc.core.places import Source, Span
from editc.registry.table import nearest

FIRST_KEYS = {"manifest": "editc", "plan": "fleet", "policy": "policy"}
"""What messages call a text -> the key with the version of its language."""
START = Span(1, 1)
"""The first character of a text: the place of faults about the whole text."""


@dataclass(frozen=True)
class Faults:
    """Everything that was found wrong in one source so far. Reading goes on after a fault."""

    source: Source
    """The text that the faults are in."""
    text: str = "manifest"
    """What messages call the whole text: a key of FIRST_KEYS."""
    found: list[Diagnostic] = field(default_factory=list)
    """The errors and warnings, in the order in which they were found. The list grows."""

    def add(
        self,
        code: str,
        message: str,
        span: Span | None,
        *,
        help: str = "",
        notes: Iterable[str] = (),
        related: Iterable[tuple[Span | None, str]] = (),
        severity: Severity = "error",
    ) -> None:
        """Records one fault; `related` places that are not known are left out."""
        self.found.append(
            Diagnostic(
                code,
                message,
                span=span,
                source=self.source,
                help=help,
                notes=tuple(notes),
                severity=severity,
                related=tuple((place, text) for place, text in related if place is not None and place != span),
            )
        )

    def warn(
        self,
        code: str,
        message: str,
        span: Span | None,
        *,
        help: str = "",
        related: Iterable[tuple[Span | None, str]] = (),
    ) -> None:
        """Records one warning; the arguments are those of `add`."""
        self.add(code, message, span, help=help, related=related, severity="warning")


def tick(text: str, most: int = 60) -> str:
    """`text` in backticks, cut to `most` characters."""
    return f"`{text}`" if len(text) <= most else f"`{text[: most - 3]}...`"


def list_words(words: Iterable[str], last: str = "or") -> str:
    """The words in backticks, joined for a message: `a`, `b` or `c`."""
    ticked = [tick(word) for word in words]
    return ticked[0] if len(ticked) == 1 else f"{', '.join(ticked[:-1])} {last} {ticked[-1]}"


FOREIGN_NAMES = {
    "ground_truth": "was",
    "target_true": "was",
    "target_new": "answer",
    "rephrase_prompt": "paraphrases",
    "rephrase_prompts": "paraphrases",
    "paraphrase_prompts": "paraphrases",
    "locality": "neighbours",
    "locality_inputs": "neighbours",
    "neighborhood_prompts": "neighbours",
    "portability": "implied",
    "portability_inputs": "implied",
}
"""Names of a fact's fields in EasyEdit, ROME and CounterFact -> the names here."""


def suggest_name(name: str, known: Iterable[str], what: str = "known") -> str:
    """Help for a wrong name: the most similar known name, else all known names after `what`."""
    known = tuple(known)
    ours = FOREIGN_NAMES.get(name)
    if ours in known:
        return f"what other programs call {tick(name)} is {tick(ours)} here"
    near = nearest(name, known)
    return f"did you mean {tick(near)}?" if near else f"{what}: {', '.join(tick(one) for one in known)}"
