"""The rows that a pool's sentences are told of, by condition."""

from __future__ import annotations

from typing import Any

from editc.core.ports import Diffusion
from editc.passes.images.schemes.subject import Subject


def concept_rows(model: Diffusion, subject: Subject, count: int) -> dict[str, Any]:
    """Condition -> rows (count, t, d) of sentences that name the concept, by the listed names in turn: `own`, `target`,
    `empty`, and `other N` for other name number N."""
    contexts = subject.sentences(count)
    named = [one.format(subject.names[i % len(subject.names)]) for i, one in enumerate(contexts)]
    toward = [one.format(subject.target) if subject.target else "" for one in contexts]
    rows = {"own": model.rows(named), "target": model.rows(toward), "empty": model.rows([""] * count)}
    for number, name in enumerate(subject.others):
        rows[f"other {number}"] = model.rows([one.format(name) for one in contexts])
    return rows


def preserved_rows(model: Diffusion, subject: Subject, count: int) -> dict[str, Any]:
    """Condition -> rows (n, t, d) of at most `count` preserved prompts: `own` and `empty`."""
    prompts = subject.kept(count)
    return {"own": model.rows(prompts), "empty": model.rows([""] * len(prompts))}
