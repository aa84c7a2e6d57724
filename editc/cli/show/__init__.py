"""The result of each command, as text for people and as one JSON object for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from editc.cli.show.output import Output, claim_colours, claim_record
from editc.core.text import count

if TYPE_CHECKING:
    from pathlib import Path

    from editc.core.manifest import Manifest
    from editc.core.measurements import AttackCurve
    from editc.core.solution import Verified
    from editc.formats.apply.apply import ApplyPlan, ApplyResult, RevertResult
    from editc.formats.apply.status import Status
    from editc.formats.diff.diff import Difference
    from editc.formats.doctor.examine import Examination
    from editc.formats.exports.onnx.surgery import LoraReadyModel
    from editc.formats.exports.write import Export
    from editc.formats.models.model import Model
    from editc.verbs.proposal import Proposal
    from editc.verbs.results import Again, Attacked, Built, Checked

KIND_MODULES: Mapping[str, str] = {"image": "editc.cli.show.image", "language": "editc.cli.show.language"}
"""Kind of model -> the module that shows what only such models have."""
ROUNDING_SHOWN = 1e-6
"""The relative error from which on rounding an export is reported. Float32 stays below it: its own is 6e-8."""
LOADER_COLOURS: Mapping[str, str] = {r"(?m)^(ok) ": "green", r"(?m)^(NO) ": "red"}
"""Colours for what a loader does with an adapter: pattern -> colour."""


def check_results(found: Mapping[Path, Checked]) -> Output:
    """One manifest as `check_result` shows it; several with a row for each under `manifests`."""
    shown = {path: check_result(one) for path, one in found.items()}
    if len(shown) == 1:
        return next(iter(shown.values()))
    failed = {path: any(fault.is_error for fault in one.diagnostics) for path, one in found.items()}
    rows = [
        {**one.data, "file": str(path), "status": "failed" if failed[path] else "done"} for path, one in shown.items()
    ]
    return Output("\n".join(one.text for one in shown.values() if one.text), {"manifests": rows})


def check_result(found: Checked) -> Output:
    """A sound manifest: its model's family, the number of matrices, and the concepts to edit."""
    if found.manifest is None or found.plan is None:
        sound = found.manifest is not None and not any(one.is_error for one in found.diagnostics)
        name = found.manifest.source.name if found.manifest else ""
        return Output(f"{name}: OK, without its model" if sound else "", {"file": name} if name else {})
    plan = found.plan
    own = _kind_module(found.manifest)
    concepts = own.titles(found.manifest)
    sites, title = len(plan.sites), plan.family.title
    share = found.manifest.sites.auto
    matrices = count(sites, "matrix") if share is None else own.sites_text(sites, share)
    text = f"{found.manifest.source.name}: OK. {title}: {matrices} will be edited ({', '.join(concepts)})"
    data = {"family": plan.family.name, "sites": [site.name for site in plan.sites], "edits": concepts}
    return Output(text, data)


def _size_on_disk(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    return sum(one.stat().st_size for one in path.rglob("*")) if path.is_dir() else path.stat().st_size


def build_result(made: Built | None) -> Output:
    """The measurements with their bounds, the files that were written, the exports and the verdict."""
    if made is None:
        return Output("")
    from editc.core import verdict as verdicts

    claims, found = made.verified.report.claims, made.verified.verdict
    lines = [*_claim_lines(made.verified), ""]
    lines += [f"wrote {path} ({_size_on_disk(path):,} bytes)" for path in made.files]
    if made.delta is None:
        lines.append("no delta was written: a constraint is not met")
    lines += [line for one in made.exports for line in _trial_lines(one)]
    lines += ["", *verdicts.as_lines(found)]
    data = {
        "verdict": verdicts.as_json(found),
        "delta": str(made.files[0]) if made.delta else None,
        "delta_id": made.delta.delta_id if made.delta else None,
        "claims": [claim_record(claim) for claim in claims],
        "files": [str(path) for path in made.files],
        "exports": [_export_record(one) for one in made.exports],
    }
    return Output("\n".join(lines), data, colours=claim_colours())


def export_result(made: Export) -> Output:
    """The files that were written, the rounding error, and the programs that read them."""
    lines = [
        f"removed {path}" if made.failures else f"wrote {path} ({_size_on_disk(path):,} bytes)"
        for path in made.written.files
    ]
    return Output("\n".join([*lines, *_trial_lines(made)]), _export_record(made))


def _kind_module(manifest: Manifest) -> Any:
    """The module that shows what only this manifest's kind of model has."""
    from importlib import import_module

    return import_module(KIND_MODULES[manifest.kind])


def _claim_lines(verified: Verified) -> Iterator[str]:
    """The measurements, as the manifest's kind of model shows them."""
    yield from _kind_module(verified.solution.problem.plan.manifest).measured_lines(verified)


def _trial_lines(made: Export) -> Iterator[str]:
    """The rounding error of an export, and how each program read it."""
    if made.written.rounding > ROUNDING_SHOWN:
        yield f"  {made.format}: rounding its factors changed the edit by {made.written.rounding:.2g} of its size"
    for one in made.trials:
        if one.skipped:
            yield f"  {made.format}: {one.consumer} was not tested: {one.skipped}"
        else:
            bound = f" (its own arithmetic may cause {one.bound:.2g})" if one.bound else ""
            taken = f"{one.consumer} loads {one.matched} of {count(one.total, 'matrix')}"
            yield f"  {made.format}: {taken}, largest error {one.error:g}{bound}"
    yield from (f"  {made.format}: note: {note}" for note in made.written.notes)


def _export_record(made: Export) -> dict[str, Any]:
    """An export as JSON values."""
    return {
        "format": made.format,
        "files": [str(path) for path in made.written.files],
        "delta_id": made.written.delta.delta_id,
        "rounding": made.written.rounding,
        "consumers": [vars(one) | {"passed": one.passed} for one in made.trials],
        "notes": list(made.written.notes),
    }


def suggest_result(found: Proposal) -> Output:
    """The proposals with their reasons, and the proposed manifest."""
    from editc.verbs import proposal

    return Output(proposal.as_text(found), proposal.as_json(found))


def verify_result(again: Again) -> Output:
    """Every claim, measured again."""
    head = f"delta {again.delta.delta_id[:12]}: the model matches its base (tier {again.tier})"
    if again.parts:
        from editc.cli.show.link import part_results

        return part_results(again, head)
    if again.verified is None:
        text = f"delta {again.delta.delta_id[:12]}: the model already contains this edit"
        return Output(text, {"tier": "already"}, "already")
    from editc.core import verdict as verdicts

    claims, found = again.verified.report.claims, again.verified.verdict
    lines = [head, *_claim_lines(again.verified), *(["all claims hold"] if not again.failures else []), ""]
    return Output(
        "\n".join([*lines, *verdicts.as_lines(found)]),
        {
            "verdict": verdicts.as_json(found),
            "tier": again.tier,
            "claims": [claim_record(claim) for claim in claims],
        },
        colours=claim_colours(),
    )


def attack_result(found: Attacked) -> Output:
    """What each attack brought back, beside its controls."""
    from editc.core.measurements import Report
    from editc.judging.access import access_reasons

    head = f"delta {found.delta.delta_id[:12]}: {count(len(found.results), 'attack')}"
    lines = [head, f"  {'attack':<12} {'concept':<14} {'after':>9} {'before':>9}  another concept"]
    for one in found.results:
        shares = f"{one.shown:>3} of {one.of:<2} {one.control:>3} of {one.of:<2}"
        other = f"{one.unrelated_shown} of {one.unrelated_of}  {one.unrelated}" if one.unrelated else ""
        lines.append(f"  {one.attack:<12} {one.concept:<14} {shares}  {other}")
        lines += [] if one.curve is None else [f"  {'':<12} {_curve_line(one.curve)}"]
    reasons = access_reasons(Report(found.claims, attacks=found.results))
    lines += ["", *(f"{one.state:<6} {one.text}" for one in reasons)]
    data = {
        "delta_id": found.delta.delta_id,
        "tier": found.tier,
        "attacks": [{**one.as_recorded(), "seconds": round(one.seconds, 1)} for one in found.results],
        "claims": [claim_record(claim) for claim in found.claims],
        "detector": dict(found.detector),
    }
    return Output("\n".join(lines), data)


def _curve_line(curve: AttackCurve) -> str:
    """A curve in one line: how often the concept is shown at each figure."""
    points = ", ".join(f"{at:g}: {shown} of {of}" for at, shown, of in curve.points)
    return f"by {curve.axis}: {points}"


def apply_plan_result(plan: ApplyPlan) -> Output:
    """What `editc apply` would do."""
    from editc.formats.inspect import describe_plan

    data = describe_plan(plan)
    pending = sum(target.pending for target in plan.targets)
    name = _name_model(plan.model)
    text = f"{name}: already applied, nothing to write"
    if plan.status == "ready":
        what = f"would edit {count(pending, 'tensor')} (tier {plan.tier}) and write {plan.bytes_to_write:,} bytes"
        text = f"{name}: {what}"
    return Output("\n".join([text, *(f"note: {note}" for note in plan.notes)]), data, plan.status)


def _name_model(model: Model) -> str:
    """What to call a model: its path, or the address of one that lies elsewhere."""
    return model.place if "://" in model.place else str(model.path)


def apply_result(plan: ApplyPlan, done: ApplyResult) -> Output:
    """What `editc apply` did."""
    from editc.formats.inspect import describe_applied

    if done.status == "already":
        what = "already applied, nothing written"
        if done.path != plan.model.path:
            what = "copied the model, which already contained the whole edit"
        return Output(f"{done.path}: {what}", describe_applied(plan, done), "already")
    edited = count(len(done.results), "tensor")
    text = f"{done.path}: edited {edited} (tier {plan.tier}), wrote {done.bytes_written:,} bytes"
    notes = list(plan.notes)
    if done.linked:
        links = count(len(done.linked), "file")
        notes.append(f"{links} shared with the model by hard links: a program that writes to one changes both")
    return Output("\n".join([text, *(f"note: {note}" for note in notes)]), describe_applied(plan, done))


def revert_result(done: RevertResult) -> Output:
    """What `editc revert` restored."""
    from editc.formats.inspect import describe_reverted

    undone = f"reverted {count(done.tensors, 'tensor')}; the files are identical to those before the last apply"
    if not done.tensors:
        undone = "removed the files that an interrupted apply had left; it had changed no tensor"
    return Output(f"{done.path}: {undone}", describe_reverted(done))


def status_result(found: Status) -> Output:
    """Which deltas are in a model."""
    from editc.formats.inspect import describe_status

    lines = [_name_model(found.model)]
    for state in found.deltas:
        concepts = ", ".join(edit_heading(edit) for edit in state.edits)
        lines.append(f"  {state.delta_id[:12]}  {state.presence:<12} {concepts}")
    if not found.deltas:
        lines.append("  no delta is recorded here; look for one with --delta FILE")
    if found.interrupted:
        lines.append("  an apply was interrupted: run it again, or run `editc revert`")
    lines += [f"note: {note}" for note in found.notes]
    return Output("\n".join(lines), describe_status(found))


def edit_heading(edit: Mapping[str, Any]) -> str:
    """What a recorded edit is about, in a few words."""
    from editc.cli.show.language import headline, is_language

    return headline(edit) if is_language(edit) else str(edit.get("concept", "?"))


def diff_result(found: Difference, out: Path) -> Output:
    """How two checkpoints differ, and the delta that was written."""
    size, changed = out.stat().st_size, len(found.rows)
    lines = [
        f"{changed} of {changed + found.equal} tensors differ; wrote {out} ({size:,} bytes; tensors: {found.raw:,})"
    ]
    for edit in found.delta.edits:
        rows = [row for row in found.rows if row.group == edit["group"]]
        entries, differ = sum(row.entries for row in rows), sum(row.differ for row in rows)
        rank = f", rank {edit['rank']}" if edit["rank"] else ""
        exact = "bit for bit" if not differ else f"{differ:,} of {entries:,} weights are not exact"
        worst = f", the worst is {max(row.ulps for row in rows):.3g} ulp off" if differ else ""
        lines.append(f"  {edit['group']}: {count(len(rows), 'tensor')}, {edit['form']}{rank}; {exact}{worst}")
    lines += [f"note: component {name} holds only pickles and was not compared" for name in found.unread]
    lines += [f"note: {note}" for note in found.notes]
    data = {"delta": str(out), "delta_id": found.delta.delta_id, "bytes": size, "equal": found.equal}
    data |= {"edits": [dict(edit) for edit in found.delta.edits], "tensors": [asdict(row) for row in found.rows]}
    return Output("\n".join(lines), data | {"unread": list(found.unread), "notes": list(found.notes)})


def lora_ready_result(made: LoraReadyModel) -> Output:
    """The files that were written, and the number of inputs for an adapter."""
    lines = [f"wrote {path} ({_size_on_disk(path):,} bytes)" for path in made.files]
    found = {"status": "done", "files": [str(path) for path in made.files], "inputs": list(made.inputs)}
    return Output(
        "\n".join([*lines, f"{count(len(made.inputs), 'input')} for an adapter, empty until an adapter is given"]),
        found,
    )


def explain_result(name: str, text: str) -> Output:
    """The long help for a name."""
    return Output(text.rstrip("\n"), {"name": name, "text": text})


def inspect_result(data: Mapping[str, Any]) -> Output:
    """A delta or a model as an indented tree. Of long lists eight items and their number are shown."""
    return Output("\n".join(_tree_lines(data, "")), data)


def doctor_result(found: Examination) -> Output:
    """What each loader will do with an adapter file, as a table as wide as the terminal."""
    from shutil import get_terminal_size

    from editc.formats.doctor.examine import describe
    from editc.formats.doctor.table import as_text

    return Output(as_text(found, get_terminal_size((100, 24)).columns), describe(found), colours=LOADER_COLOURS)


def dump_after(names: Sequence[str], say: Callable[[str], None]) -> Callable[[str, Any], bool] | None:
    """A function for the `after` of `build`: it prints the value after each pass in `names`, and stops the build after
    the last one. None if `names` is empty. Raises E130 for an unknown pass."""
    if not names:
        return None
    from editc.cli.show.dump import dump
    from editc.core.diagnostics import fail
    from editc.verbs.build import PASSES

    for name in names:
        if name not in PASSES:
            raise fail("E130", f"there is no pass `{name}`", place="--print-after", help="passes: " + ", ".join(PASSES))
    last = max(names, key=PASSES.index)

    def after(name: str, value: Any) -> bool:
        if name in names:
            say(f"after {name}:\n{dump(value)}")
        return name != last

    return after


def _tree_lines(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    """The lines of nested JSON values."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _tree_lines(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield f"{indent}{name}: {len(value)}"
            yield from (f"{indent}  - {_item_line(name, item)}" for item in value[:8])
            if len(value) > 8:
                yield f"{indent}  ... {len(value) - 8} more (--json shows all)"
        else:
            yield from _field_lines(name, value, indent)


def _item_line(name: str, item: Mapping[str, Any]) -> str:
    """One item of a list of mappings, on one line."""
    from editc.cli.show.language import edit_line, is_language

    if name == "edits" and is_language(item):
        return edit_line(item)
    return "  ".join(f"{k}={_short(v)}" for k, v in item.items() if v not in ("", [], {}))


def _field_lines(name: str, value: Any, indent: str) -> Iterator[str]:
    """A field with its value. A text of several lines is indented below it."""
    lines = str(value).splitlines() if isinstance(value, str) else [_short(value)]
    if len(lines) > 1:
        yield f"{indent}{name}: |"
        yield from (f"{indent}  {line}" for line in lines)
    else:
        yield f"{indent}{name}: {lines[0] if lines else ''}"


def _short(value: Any) -> str:
    """A value on one line. The middle of a long text is left out."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_short(v)}" for k, v in value.items()) + "}"
    text = str(value)
    return text if len(text) <= 60 else text[:24] + "..." + text[-24:]
