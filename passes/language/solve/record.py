"""What a delta says of the edits of a language model that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from editc.core.manifest import Ablation, Fact, Redirect
from editc.core.solution import Solution


def record_edits(solution: Solution) -> Iterator[Mapping[str, Any]]:
    """One record an edit, in the order of the manifest, its empty fields left out."""
    manifest = solution.problem.plan.manifest
    for edit, method, strength in zip(manifest.language_edits, solution.methods, solution.strengths, strict=True):
        said = {"kind": edit.kind, **_content(edit)}
        yield {name: value for name, value in said.items() if value} | {"strength": strength, **method}


def _content(edit: Fact | Redirect | Ablation) -> Mapping[str, Any]:
    if isinstance(edit, Fact):
        return {"concept": edit.subject, "prompt": edit.prompt, "answer": edit.answer}
    if isinstance(edit, Ablation):
        return {"concept": edit.concept}
    to = {"to": edit.to} if edit.to is not None else {"toward": edit.toward}
    return {"concept": edit.concept, "also": list(edit.also), **to}
