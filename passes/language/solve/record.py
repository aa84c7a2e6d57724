"""The records of a language model's edits in the metadata of a delta. They are a ledger: each says what later edits
must hold, so that a later build needs neither this delta's file nor its manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from editc.core.language_edits import Ablation, Fact, LanguageEdit, Learn, OnRows
from editc.core.language_problem import LanguageProblem
from editc.core.prompts import Spot
from editc.core.solution import Solution
from editc.passes.language.keys.key_spots import held_keys, record_key, written_where_carried


def record_edits(solution: Solution) -> Iterator[Mapping[str, Any]]:
    """One record for each edit, in the order of the manifest, without empty fields. It has the edit's kind and content,
    its strength, its method with the options, and the keys at which later edits must leave the outputs."""
    manifest = solution.problem.plan.manifest
    every = zip(manifest.language_edits, solution.methods, solution.strengths, strict=True)
    for index, (edit, method, strength) in enumerate(every):
        content = {"kind": edit.kind, **_content(edit)}
        held = {"holds": [record_key(spots) for spots in _held(solution, index, edit, method)]}
        yield {name: value for name, value in content.items() if value} | {"strength": strength, **method} | held


def _held(solution: Solution, index: int, edit: LanguageEdit, method: Mapping[str, Any]) -> Sequence[Sequence[Spot]]:
    """The groups of positions that an edit asks later ones to leave: those of its manifest or, where it was written at
    the tokens that carry it, those that were found."""
    problem = solution.problem
    if written_where_carried(method) and isinstance(problem, LanguageProblem):
        return [one.contexts for one in problem.memory_keys if one.edit == index]
    return held_keys(edit, method["method"], problem.plan.manifest)


def _content(edit: LanguageEdit) -> Mapping[str, Any]:
    """What an edit is about, by the field names of a record."""
    if isinstance(edit, Fact):
        return {"concept": edit.subject, "prompt": edit.prompt, "answer": edit.answer}
    if isinstance(edit, Ablation):
        return {"concept": edit.concept}
    if isinstance(edit, Learn):
        rows = [row.digest for row in edit.data.rows]
        own = {"file": edit.data.file, "slices": list(edit.slices), "of": edit.of, "by": edit.by, "rows": rows}
        return {"concept": edit.concept, **own}
    if isinstance(edit, OnRows):
        sets = {"file": edit.data, "retain": edit.retain}
        return {"concept": edit.concept, **{name: one.file for name, one in sets.items() if one is not None}}
    to = {"to": edit.to} if edit.to is not None else {"toward": edit.toward}
    return {"concept": edit.concept, "also": list(edit.also), **to}
