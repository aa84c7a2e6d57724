"""What to do when a bound on a language model is broken, and what makes its report prove less than it seems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from editc.core.diagnostics import Diagnostic
from editc.core.language_problem import LanguageProblem
from editc.core.manifest import Constraints, Fact, Manifest
from editc.core.measurements import Answer, Claim, Report
from editc.core.problem import Problem
from editc.core.solution import Verified
from editc.judging.language import CARRIED, UNMOVED
from editc.passes.claims import Advice, broken_bounds
from editc.passes.language.candidates import OWN
from editc.passes.language.questions import titles
from editc.passes.language.verify.bystanders import AROUND

MOST = 4
"""Pairs of edits that are named; of sixty edits hundreds may lie close."""
MOVED, LINE = 8, 40
"""Bystanders that an error names, and characters of what was said to each."""
SHOWN = 12
"""Digits of a delta's id."""
BOUNDS: Mapping[str, str] = {
    "efficacy": "an edit with an answer that is to change: a fact, or a concept with `relations`",
    "paraphrase": "a fact with `paraphrases`",
    "neighbourhood": "an edit with `neighbours` that are not edited themselves",
    "retain_kl": "texts under `retain`",
    "retain_top1": "texts under `retain`",
}
"""What there must be for a bound to be measured."""
HELP: Mapping[str, Mapping[str, str]] = {
    "efficacy": {
        "fact": "raise `strength` towards 1; edit layers that still hold the subject (`sites: {layers: auto}`); for "
        "many edits at once take `method: memit` and more layers",
        "concept": "raise `strength` towards 1, or list what else it is called under `also`; edit layers that still "
        "hold it (`sites: {layers: auto}`)",
    },
    "paraphrase": {
        "fact": "give more `contexts`, so that the key is taken in more than one sentence, and `chat: true` for a "
        "model that is spoken to; edit several layers (`method: memit`)"
    },
    "neighbourhood": {
        "fact": "lower `strength`, take `method: alphaedit`, or edit fewer subjects that lie near to one another",
        "concept": "lower `strength`, or name what must stay under `preserve: {concepts: [...]}`",
    },
    "bystander_loss": {
        "fact": "name what moved, or more of its kind, under `preserve: {concepts: [...]}`; leave `chat` out, edit "
        "fewer facts at once, or lower `strength`; `method: memit` spreads the edit over layers",
        "concept": "name what moved, or more of its kind, under `preserve: {concepts: [...]}`; or lower `strength`",
        "direction": "lower `scale`, edit fewer layers (`sites: {layers: ...}`), or give sets that differ in it alone",
    },
    "own_loss": {
        "fact": "what else the model says of it goes with the edit: lower `strength`, or leave `chat` out; if you can "
        "do without what moved, `constraints: {bystander_loss: ...}` allows more",
        "concept": "what else is said of it goes round in circles: lower `strength`, take another `to`, or edit fewer "
        "layers (`sites: {layers: ...}`)",
        "direction": "lower `scale`, edit fewer layers (`sites: {layers: ...}`), or give sets that differ in it alone",
    },
    "retain": {
        "fact": "lower `strength`, edit fewer facts at once, or take `method: memit` and raise its `lamb`",
        "concept": "lower `strength`, or edit fewer layers (`sites: {layers: ...}`)",
        "direction": "lower `scale`, edit fewer layers (`sites: {layers: ...}`), or give sets that differ in it alone",
    },
    "rank": {
        "fact": "each fact needs a rank of its own, two with `chat: true`: allow them, or edit fewer at once",
        "concept": "each name needs a rank of its own, two with `chat: true`: allow them, or edit fewer at once",
        "direction": "each concept needs a rank of `count`: allow it, or ablate fewer at once",
    },
}
"""By the claim and what is edited; `own_loss` is `bystander_loss` of an edit's own name."""
KINDS: Mapping[str, str] = {"fact": "fact", "redirect": "concept", "erase": "concept", "ablate": "direction"}
UNLEARNED = 0.5
"""The probability of an answer below which a learned value counts as not found."""


def failures(verified: Verified) -> tuple[Diagnostic, ...]:
    """One E501 for every broken bound; empty when all hold."""
    return broken_bounds(verified, advise)


def advise(claim: Claim, verified: Verified) -> Advice:
    """What to do about a bound of a language model's manifest that is broken, and what moved."""
    manifest = verified.solution.problem.plan.manifest
    notes = bystander_notes(verified.report, claim.subject) if claim.name == "bystander_loss" else ()
    return Advice(help_with(claim.name, manifest, claim.subject), notes)


def help_with(name: str, manifest: Manifest, subject: str = "") -> str:
    """What to do about a broken bound, for the kinds of edits that the manifest has; `subject` is what the claim is
    of, an edit's own name perhaps."""
    own = name == "bystander_loss" and subject in titles(manifest)
    said = HELP.get("own_loss" if own else "retain" if name.startswith("retain_") else name, {})
    kinds = dict.fromkeys(KINDS[edit.kind] for edit in manifest.language_edits)
    return "; or ".join(said[kind] for kind in kinds if kind in said)


def bystander_notes(report: Report, subject: str) -> tuple[str, ...]:
    """Notes on what nobody named and the edit moved, the first of them: those that the broken claim counts before
    others, as far as their words tell."""
    own, name = not subject.startswith(AROUND.format("")), subject.removeprefix(AROUND.format(""))
    those = [one for one in report.bystanders if one.loss > 0]
    those.sort(key=lambda one: ((one.kind in OWN) != own, own and name not in one.name))
    notes = [
        f"{one.kind}: `{one.name}` `{_short(one.said[0])}` is now `{_short(one.said[1])}`" for one in those[:MOVED]
    ]
    more = len(those) - len(notes)
    return (*notes, *([f"and {more} more, in the report"] if more else []))


def _short(text: str) -> str:
    """What a model said, on one line and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= LINE else f"{line[:LINE]}..."


def warnings(verified: Verified) -> Iterator[Diagnostic]:
    """E520 (the model did not know the old answer), E521 (edits that interfere), E522 (a text that begins with the
    subject is as it was), E523 (a bound that nothing answered), E524 (a name that its first words carry), E525 (an edit
    that overwrites an earlier delta's), E526 (a value that was not found)."""
    manifest = verified.solution.problem.plan.manifest
    every = verified.report.claims
    yield from _warn_no_change(manifest, verified.report.answers)
    yield from _warn_unknown_answer(manifest, every, verified.report.answers)
    yield from _warn_interference(manifest, verified.solution.problem)
    yield from _warn_overwriting(manifest, verified.solution.problem)
    yield from _warn_at_start(manifest, every, verified.solution.problem)
    yield from _warn_carried_name(manifest, every)
    yield from _warn_weak_value(manifest, verified.solution.problem)
    yield from _warn_idle_bound(manifest, manifest.constraints, every)


def _warn_no_change(manifest: Manifest, answers: Sequence[Answer]) -> Iterator[Diagnostic]:
    """Facts without `was` to which the model, asked for it, gave the very answer that is wanted."""
    for index in _edits_without_change(manifest, answers):
        edit = manifest.language_edits[index]
        assert isinstance(edit, Fact)
        message = f"the model says `{edit.answer}` already, so there is nothing to change"
        help = "take the edit out, or give another answer; `was` is what the model says now"
        yield Diagnostic("E520", message, edit.at("answer"), manifest.source, help=help, severity="warning")


def _edits_without_change(manifest: Manifest, answers: Sequence[Answer]) -> tuple[int, ...]:
    own = (one for one in answers if one.purpose == "efficacy" and not one.other)
    return tuple(dict.fromkeys(one.edit for one in own if isinstance(manifest.language_edits[one.edit], Fact)))


def _warn_unknown_answer(manifest: Manifest, every: Sequence[Claim], answers: Sequence[Answer]) -> Iterator[Diagnostic]:
    known = {claim.subject: claim.value for claim in every if claim.name == "known"}
    settled = _edits_without_change(manifest, answers)
    for index, (title, edit) in enumerate(zip(titles(manifest), manifest.language_edits, strict=True)):
        if known.get(title, 1.0) >= 0.5 or index in settled:
            continue
        fact = edit.kind == "fact"
        where = "" if fact else f" in more than {known[title]:.0%} of its relations"
        message = f"the model did not say what `{title}` is to lose{where} before the edit, so the edit proves little"
        place = edit.at("was" if "was" in edit.spans else "template") if fact else edit.at("relations")
        help = _help_unknown_answer(fact, "was" in edit.spans)
        yield Diagnostic("E520", message, place, manifest.source, help=help, severity="warning")


def _help_unknown_answer(fact: bool, told: bool) -> str:
    """What to do about an old answer that the model did not give."""
    if not fact:
        return "leave the answers beside the relations out: the model is asked then, and the report has what it says"
    if told:
        return "leave `was` out: the model is asked then, and the report has what it says"
    return "word the prompt as ordinary text would, so that the model has an answer to it; the report has what it says"


def _warn_interference(manifest: Manifest, problem: Problem) -> Iterator[Diagnostic]:
    near = problem.near if isinstance(problem, LanguageProblem) else ()
    for number, pair in enumerate(near[:MOST], 1):
        first, second = (manifest.language_edits[i] for i in pair.edits)
        one, other = pair.names
        more = f"; {len(near) - MOST} more pairs lie close" if number == MOST < len(near) else ""
        message = (
            f"the edits of `{one}` and `{other}` will interfere: the cosine of their keys is {pair.cosine:.2f}{more}"
        )
        place = second.at("subject") if second.kind == "fact" else second.at("concept")
        where = first.at("subject") if first.kind == "fact" else first.at("concept")
        yield Diagnostic(
            "E521",
            message,
            place,
            manifest.source,
            help="keep them in one manifest, where they are solved together, and look at what each neighbour says",
            severity="warning",
            related=() if where is None else ((where, "the other one"),),
        )


def _warn_overwriting(manifest: Manifest, problem: Problem) -> Iterator[Diagnostic]:
    for index, deltas in (problem.overwritten if isinstance(problem, LanguageProblem) else {}).items():
        edit = manifest.language_edits[index]
        name, which = edit.names[0], ", ".join(f"`{delta[:SHOWN]}`" for delta in deltas)
        message = f"this overwrites what {which} wrote at `{name}`: both have the very same key"
        place, where = edit.at("subject") if edit.kind == "fact" else edit.at("concept"), manifest.at("after")
        help = "a key holds one change: put other words before the name in the prompt, or `redirect` the name"
        related = () if where is None else ((where, "comes before it"),)
        yield Diagnostic("E525", message, place, manifest.source, help=help, severity="warning", related=related)


def _warn_at_start(manifest: Manifest, every: Sequence[Claim], problem: Problem) -> Iterator[Diagnostic]:
    columns = problem.columns if isinstance(problem, LanguageProblem) else ()
    moved = {claim.subject: claim.value for claim in every if claim.name == "at_start"}
    for index, (title, edit) in enumerate(zip(titles(manifest), manifest.language_edits, strict=True)):
        if moved.get(title, 1.0) >= UNMOVED:
            continue
        left = sum(column.sinks for column in columns if column.edit == index)
        were = "context was" if left == 1 else "contexts were"
        notes = (f"{left} {were} left out of its key for that",) if left else ()
        message = f"a text that begins with `{edit.names[0]}` is as it was: position 0 is an attention sink"
        place = edit.at("subject") if edit.kind == "fact" else edit.at("concept")
        help = "put something before the subject where the model is used: a system prompt, a chat template, an article"
        yield Diagnostic("E522", message, place, manifest.source, help=help, notes=notes, severity="warning")


def _warn_carried_name(manifest: Manifest, every: Sequence[Claim]) -> Iterator[Diagnostic]:
    """Of concepts whose old answers are not all lost, or were not asked for."""
    held = {claim.subject: claim.value for claim in every if claim.name == "efficacy"}
    alone = held.get("", 0.0) if len(manifest.language_edits) == 1 else 0.0
    shares = {claim.subject: claim.value for claim in every if claim.name == "carried"}
    for title, edit in zip(titles(manifest), manifest.language_edits, strict=True):
        if held.get(title, alone) == 1.0 or edit.kind not in ("redirect", "erase"):
            continue
        for part, share in shares.items():
            name = next((name for name in edit.names if name.startswith(f"{part} ")), None)
            if name is not None and share >= CARRIED:
                message = f"`{part}` alone has {share:.0%} of what sets `{name}` apart, and later words read it there"
                help = f"unless something else that must stay begins with it, edit it too: `also: [{part}]`"
                yield Diagnostic("E524", message, edit.at("concept"), manifest.source, help=help, severity="warning")


def _warn_weak_value(manifest: Manifest, problem: Problem) -> Iterator[Diagnostic]:
    columns = problem.columns if isinstance(problem, LanguageProblem) else ()
    found = {one.edit: one.value.probability for one in columns if one.value is not None}
    for index, likely in found.items():
        if likely < UNLEARNED:
            edit = manifest.language_edits[index]
            answer = f"`{edit.answer}`" if isinstance(edit, Fact) else "the refusal"
            message = (
                f"no value was found that makes {answer} follow `{edit.names[0]}`: it has a probability of {likely:.2g}"
            )
            help = "edit another layer (`sites: {layers: auto}`), or ask for an answer that the model can say there"
            place = edit.at("answer") or edit.at("concept")
            yield Diagnostic("E526", message, place, manifest.source, help=help, severity="warning")


def _warn_idle_bound(manifest: Manifest, asked: Constraints, every: Sequence[Claim]) -> Iterator[Diagnostic]:
    measured = {claim.name for claim in every}
    for name, needed in BOUNDS.items():
        if getattr(asked, name) is not None and name not in measured:
            message = f"{name} was not measured: there is nothing that answers it"
            help = f"it takes {needed}; else take the bound out"
            yield Diagnostic("E523", message, asked.at(name), manifest.source, help=help, severity="warning")
