"""The words that a build prints, explained: its measurements, the key rules, and what a report calls things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from editc.report.words import TITLES

BOUNDS: Mapping[str, str] = {
    "erased": "verify.images.erased_at_most",
    "kept_loss": "verify.images.kept_loss_at_most",
    "toward_gap": "verify.images.share_gap_at_most",
}
"""Bounds that are not called as the measurement is; the others stand under `constraints`."""
PAGES: Mapping[str, str] = {
    "recoverable": "docs/explanation/certificate.md",
    "attacked": "docs/explanation/certificate.md",
    "bystander_loss": "docs/reference/report.md",
    "at_start": "docs/reference/language.md",
    "carried": "docs/reference/language.md",
    "leak": "docs/reference/families.md",
    "erase_residual": "docs/measurements/erasure.md",
}
WORDS: Mapping[str, str] = {
    "aligned": "A key rule, and the default: concept and target are put into the same sentences, and every row of the "
    "one is sent to its counterpart in the other.",
    "last": "A key rule: only the row of the bare name's last token is edited. As published for UCE (2025).",
    "span": "A key rule: every row of the bare name from its last token on is edited. As published for UCE (2023).",
    "matched": "A key rule: in every sentence all rows but the concept's own are edited. As published for MACE.",
    "eot": "A key rule: the first and last rows of every sentence, and the concept's own, each by its weight in "
    "`token_weights`. As published for TRCE.",
    "row": "What a text encoder gives for one token of a prompt: a vector that the edited matrices read.",
    "key": "An input whose output an edit changes: a row of the text encoder, or a state inside a language model.",
    "site": "One matrix that is edited, or could be.",
    "drift": "How far outputs that should stay have moved, relative to their size: 0 is not at all.",
    "residual": "How much of what should change is left, relative to what was to change: 1 is no edit, 0 a whole one.",
    "certificate": "A bound on every attack by text embeddings: `recoverable`, and the embeddings that reach it.",
    "bystanders": "Concepts or questions that the manifest does not name. They are measured before and after the edit; "
    "`bystander_loss` bounds what the worst may lose.",
    "verdict": "Three lines at the top of a report: Works? Costs? Robust? Each is green, red, or amber: not "
    "checked, or too few.",
    "works": "The first line of the verdict: is what was edited gone, or answered as asked?",
    "costs": "The second line of the verdict: what else did the edit change?",
    "robust": "The third line of the verdict: can what was edited be brought back?",
}
"""Words that are no measurement."""


def every() -> tuple[str, ...]:
    """All words that `explain` takes."""
    return (*TITLES, *WORDS)


def explain(name: str) -> str:
    """What one of `every` means, and which bound it answers."""
    if name in WORDS:
        page = "docs/reference/manifest.md" if "key rule" in WORDS[name] else "docs/reference/report.md"
        return "\n".join([name, "", WORDS[name], "", f"more: {page}", ""])
    title, about = TITLES[name]
    return "\n".join([f"measurement {name}: {title}", "", f"{about[:1].upper()}{about[1:]}.", "", *_bound(name), ""])


def _bound(name: str) -> Iterator[str]:
    from dataclasses import fields

    from editc.core.manifest import Constraints

    asked = {one.name for one in fields(Constraints)}
    if name in BOUNDS or name in asked:
        side = "minimum" if name in Constraints.MINIMA else "maximum"
        yield f"bound in a manifest: {BOUNDS.get(name, f'constraints.{name}')} ({side})"
    else:
        yield "reported only: no bound answers it"
    if name in PAGES:
        yield f"more: {PAGES[name]}"
