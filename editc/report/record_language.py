"""The fields of report.json that only a language model's build has: its edits, stages, solves, and every prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from editc.core.language_edits import Ablation, Fact, Forget, LanguageEdit, Learn, Redirect
from editc.core.language_problem import LanguageProblem, MemoryKey
from editc.core.plan import Plan, Stage
from editc.core.solution import Solution, Verified
from editc.passes.language.questions import titles
from editc.report.record_solve import describe_solve
from editc.report.training import training_fields


def kind_fields(verified: Verified) -> Mapping[str, Any]:
    """Return the fields of report.json that only such a build has.

    An edit's `title` is what claims call it. `answers` has every prompt, in the order in which verify asked. `near` has
    the pairs of edits that will interfere, the closest first. A stage's `depth` is None where no evidence was taken.
    """
    solution, manifest = verified.solution, verified.solution.problem.plan.manifest
    plan, problem = solution.problem.plan, solution.problem
    near = problem.close_edits if isinstance(problem, LanguageProblem) else ()
    called = titles(manifest)
    return {
        "edits": [
            {**_edit(solution, index, edit), "title": called[index]}
            for index, edit in enumerate(manifest.language_edits)
        ],
        "solves": [describe_solve(plan, group, edit) for group, edit in solution.edits.items()],
        "stages": [_stage(plan, stage) for stage in plan.stages],
        "near": [{"edits": pair.edits, "names": pair.names, "cosine": pair.cosine} for pair in near],
        "answers": [asdict(one) for one in verified.report.answers],
        "chat": manifest.chat,
        "retain": len(manifest.retain),
        **({"suite": verified.report.suite} if verified.report.suite else {}),
        **training_fields(solution.training, called),
        **({"earlier": [dict(one) for one in verified.report.earlier]} if verified.report.earlier else {}),
        **({"worst_rounds": [asdict(one) for one in solution.worst_rounds]} if solution.worst_rounds else {}),
    }


def _edit(solution: Solution, index: int, edit: LanguageEdit) -> Mapping[str, Any]:
    """Return what one edit asked for, the method that solved it, and its keys."""
    problem, method = solution.problem, solution.methods[index]
    columns = problem.memory_keys if isinstance(problem, LanguageProblem) else ()
    return {
        "kind": edit.kind,
        "concept": edit.names[0],
        **_request_fields(edit),
        "method": method["method"],
        "options": method["options"],
        "strength": solution.strengths[index],
        "columns": [_column(column) for column in columns if column.edit == index],
        "line": place.line if (place := edit.at()) else None,
    }


def _request_fields(edit: LanguageEdit) -> Mapping[str, Any]:
    """Return the words of the manifest. Its lists of prompts become counts, because `answers` has the prompts."""
    match edit:
        case Fact():
            asked = {"paraphrases": len(edit.paraphrases), "neighbours": len(edit.neighbours)}
            return {"prompt": edit.prompt, "subject": edit.subject, "answer": edit.answer, "was": edit.was, **asked}
        case Redirect():
            asked = {"relations": len(edit.relations), "neighbours": len(edit.neighbours)}
            return {"also": edit.also, "to": edit.to, "toward": edit.toward, **asked}
        case Ablation():
            return {"present": len(edit.present), "absent": len(edit.absent)}
        case Forget():
            rows = {"forgotten": len(edit.data.rows), "retained": len(edit.retain.rows) if edit.retain else 0}
            return {"file": edit.data.file, "retain": edit.retain.file if edit.retain else None, **rows}
        case Learn():
            rows = {"learned": len(edit.data.rows), "retained": len(edit.retain.rows) if edit.retain else 0}
            return {"file": edit.data.file, "slices": edit.slices, "of": edit.of, **rows}


def _column(column: MemoryKey) -> Mapping[str, Any]:
    """Return one key: how many contexts it was read in, how many of them had it at position 0, and how its value was
    learned."""
    said = {"name": column.name, "form": column.form, "contexts": len(column.contexts), "sinks": column.sinks}
    if column.value is None:
        return said
    return said | {"steps": len(column.value.losses) - 1, "learned": column.value.probability}


def _stage(plan: Plan, stage: Stage) -> Mapping[str, Any]:
    """Return one stage. `layers` ascend; a site's group names its layer, as in `layers.5`."""
    sites = [plan.sites[index] for index in stage.sites]
    layers = sorted({int(site.group.rpartition(".")[2]) for site in sites})
    roles = sorted({site.role for site in sites})
    depth = None if stage.depth is None else asdict(stage.depth)
    said = {"kind": stage.kind, "method": stage.method, "edits": stage.edits}
    return {**said, "layers": layers, "roles": roles, "depth": depth}
