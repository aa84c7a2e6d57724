"""Errors and warnings about the report of a language model: what to do about a broken bound, and what makes a report
prove less than it seems to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from editc.core.diagnostics import Diagnostic
from editc.core.language_edits import Fact
from editc.core.language_problem import LanguageProblem
from editc.core.manifest import Constraints, Manifest
from editc.core.measurements import Answer, Claim, Report
from editc.core.places import Span
from editc.core.problem import Problem
from editc.core.solution import Verified
from editc.judging.language import CARRIED, UNMOVED
from editc.passes.claims import Advice, broken_bounds
from editc.passes.language.candidates import KINDS_ABOUT_SUBJECT
from editc.passes.language.questions import titles
from editc.passes.language.verify.bystanders import AROUND_TITLE

MOST_PAIRS = 4
"""The most pairs of interfering edits that are named: of sixty edits hundreds may be close."""
MOST_BYSTANDERS, LINE_CHARACTERS = 8, 40
"""The most lost bystanders that an error names, and the most characters of each answer."""
ID_DIGITS = 12
"""How many digits of a delta's id are shown."""
NEEDED_FOR_BOUND: Mapping[str, str] = {
    "efficacy": "an edit with an answer that must change: a fact, a concept with `relations`, or rows to forget",
    "paraphrase": "a fact with `paraphrases`",
    "neighbourhood": "an edit with `neighbours` that are not edited themselves",
    "retain_kl": "texts under `retain`",
    "retain_top1": "texts under `retain`",
}
"""Bound -> what a manifest must have so that it can be measured."""
HELP_BY_BOUND: Mapping[str, Mapping[str, str]] = {
    "efficacy": {
        "fact": "raise `strength` towards 1; edit layers that still hold the subject (`sites: {layers: auto}`); for "
        "many edits at once take `method: memit` and more layers",
        "concept": "raise `strength` towards 1, or list what else it is called under `also`; edit layers that still "
        "hold it (`sites: {layers: auto}`)",
        "set": "raise `steps` or `rate`, or lower `keep`; a small `rate` is lost in a file of 16 bits",
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
        "direction": "lower `scale`, edit fewer layers (`sites: {layers: ...}`), or give sets that only differ in it",
        "set": "raise `keep`, lower `steps` or `rate`, or put more kinds of text into the retain set",
    },
    "own_loss": {
        "fact": "the edit changes other answers about the subject too: lower `strength`, or leave `chat` out; if you "
        "can do without what moved, `constraints: {bystander_loss: ...}` allows more",
        "concept": "the model now repeats itself about the name: lower `strength`, take another `to`, or edit fewer "
        "layers (`sites: {layers: ...}`)",
        "direction": "lower `scale`, edit fewer layers (`sites: {layers: ...}`), or give sets that only differ in it",
    },
    "retain": {
        "fact": "lower `strength`, edit fewer facts at once, or take `method: memit` and raise its `lamb`",
        "concept": "lower `strength`, or edit fewer layers (`sites: {layers: ...}`)",
        "direction": "lower `scale`, edit fewer layers (`sites: {layers: ...}`), or give sets that only differ in it",
        "set": "raise `keep`, take `keep_by: kl`, lower `steps` or `rate`, or edit fewer layers",
    },
    "suite": {
        "fact": "the report shows each figure beside the unedited model's: edit more of what the suite asks, or lower "
        "`strength` where utility suffers",
        "concept": "the report shows each figure beside the unedited model's: give more names under `also`, or lower "
        "`strength` where utility suffers",
        "direction": "the report shows each figure beside the unedited model's: lower `scale` where utility suffers",
    },
    "rank": {
        "fact": "each fact needs a rank of 1, or 2 with `chat: true`: allow more, or edit fewer facts at once",
        "concept": "each name needs a rank of 1, or 2 with `chat: true`: allow more, or edit fewer names at once",
        "direction": "each concept needs a rank of `count`: allow more, or ablate fewer concepts at once",
        "set": "lower the method's `rank`",
    },
}
"""Claim -> what is edited (a value of HELP_KINDS) -> what to do if the claim's bound is broken. `own_loss` stands for
`bystander_loss` of questions about the edited name itself, `retain` for both `retain_kl` and `retain_top1`."""
HELP_KINDS: Mapping[str, str] = {"fact": "fact", "redirect": "concept", "erase": "concept", "ablate": "direction"} | {
    "forget": "set",
    "learn": "set",
}
"""The kind of an edit -> what is edited, as HELP_BY_BOUND calls it."""
LEAST_LEARNED = 0.5
"""The least probability of the answer with which a learned value counts as found. Chosen by hand: above it no other
answer is likelier."""


def failures(verified: Verified) -> tuple[Diagnostic, ...]:
    """One E501 for every broken bound; empty if all bounds hold."""
    return broken_bounds(verified, advise)


def advise(claim: Claim, verified: Verified) -> Advice:
    """What to do about a broken bound, with notes about the bystanders that moved."""
    manifest = verified.solution.problem.plan.manifest
    notes = bystander_notes(verified.report, claim.subject) if claim.name == "bystander_loss" else ()
    return Advice(help_with(claim.name, manifest, claim.subject), notes)


def help_with(name: str, manifest: Manifest, subject: str = "") -> str:
    """What to do about a broken bound `name`, for the kinds of edits that the manifest has. `subject`: the claim's
    subject, which is an edit's title if the claim is about the edited name itself."""
    own = name == "bystander_loss" and subject in titles(manifest)
    texts = HELP_BY_BOUND.get("own_loss" if own else "retain" if name.startswith("retain_") else name, {})
    kinds = dict.fromkeys(HELP_KINDS[edit.kind] for edit in manifest.language_edits)
    return "; or ".join(texts[kind] for kind in kinds if kind in texts)


def bystander_notes(report: Report, subject: str) -> tuple[str, ...]:
    """Notes on the lost bystanders, at most MOST_BYSTANDERS and then how many more there are. Those that the broken
    claim counts come first, as far as their kind and name say which these are."""
    own, name = not subject.startswith(AROUND_TITLE.format("")), subject.removeprefix(AROUND_TITLE.format(""))
    those = [one for one in report.bystanders if one.loss > 0]
    those.sort(key=lambda one: ((one.kind in KINDS_ABOUT_SUBJECT) != own, own and name not in one.name))
    notes = [
        f"{one.kind}: `{one.name}` `{_one_line(one.said[0])}` is now `{_one_line(one.said[1])}`"
        for one in those[:MOST_BYSTANDERS]
    ]
    more = len(those) - len(notes)
    return (*notes, *([f"and {more} more, in the report"] if more else []))


def _one_line(text: str) -> str:
    """What a model said on one line, cut after LINE_CHARACTERS characters."""
    line = " ".join(text.split())
    return line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]}..."


def warnings(verified: Verified) -> Iterator[Diagnostic]:
    """All warnings about a report: E520 (the model did not know the old answer, or knew the new one), E521 (two edits
    interfere), E522 (the edit does not act where a text begins with the subject), E523 (a bound was not measured), E524
    (the first words carry the name), E525 (an edit overwrites one of an earlier delta), E526 (no value was found)."""
    manifest = verified.solution.problem.plan.manifest
    claims = verified.report.claims
    yield from _warn_no_change(manifest, verified.report.answers)
    yield from _warn_unknown_answer(manifest, claims, verified.report.answers)
    yield from _warn_interference(manifest, verified.solution.problem)
    yield from _warn_overwriting(manifest, verified.solution.problem)
    yield from _warn_at_start(manifest, claims, verified.solution.problem)
    yield from _warn_carried_name(manifest, claims)
    yield from _warn_weak_value(manifest, verified.solution.problem)
    yield from _warn_idle_bound(manifest, manifest.constraints, claims)


def _warn_no_change(manifest: Manifest, answers: Sequence[Answer]) -> Iterator[Diagnostic]:
    """E520 for each fact without `was` to which the unedited model gives the new answer already."""
    for index in _edits_without_change(manifest, answers):
        edit = manifest.language_edits[index]
        assert isinstance(edit, Fact)
        message = f"the model says `{edit.answer}` already, so there is nothing to change"
        help = "remove the edit, or give another answer; `was` is what the model says now"
        yield Diagnostic("E520", message, edit.at("answer"), manifest.source, help=help, severity="warning")


def _edits_without_change(manifest: Manifest, answers: Sequence[Answer]) -> tuple[int, ...]:
    """The numbers of the facts that change nothing: their own prompt has no wrong answer."""
    own = (one for one in answers if one.purpose == "efficacy" and not one.other)
    return tuple(dict.fromkeys(one.edit for one in own if isinstance(manifest.language_edits[one.edit], Fact)))


def _warn_unknown_answer(
    manifest: Manifest, claims: Sequence[Claim], answers: Sequence[Answer]
) -> Iterator[Diagnostic]:
    """E520 for each edit whose old answer the unedited model gave to fewer than half of its prompts."""
    known = {claim.subject: claim.value for claim in claims if claim.name == "known"}
    settled = _edits_without_change(manifest, answers)
    for index, (title, edit) in enumerate(zip(titles(manifest), manifest.language_edits, strict=True)):
        if known.get(title, 1.0) >= 0.5 or index in settled:
            continue
        if edit.kind == "forget":
            yield _warn_unknown_set(title, known[title], edit.at("forget.file"), manifest)
            continue
        fact = edit.kind == "fact"
        where = "" if fact else f" in more than {known[title]:.0%} of its relations"
        message = (
            f"before the edit the model did not give the old answer for `{title}`{where}, so the edit proves little"
        )
        place = edit.at("was" if "was" in edit.spans else "template") if fact else edit.at("relations")
        help = _help_unknown_answer(fact, "was" in edit.spans)
        yield Diagnostic("E520", message, place, manifest.source, help=help, severity="warning")


def _warn_unknown_set(title: str, known: float, place: Span | None, manifest: Manifest) -> Diagnostic:
    """E520 for a set of whose answers the unedited model knew fewer than half."""
    message = f"before the edit the model knew {known:.0%} of the answers of `{title}`, so the edit proves little"
    help = "name rows that the model was trained on, in the words of its training; `chat: true` if it is spoken to"
    return Diagnostic("E520", message, place, manifest.source, help=help, severity="warning")


def _help_unknown_answer(fact: bool, has_was: bool) -> str:
    """What to do about an old answer that the model did not give. `has_was`: the manifest gives the answer."""
    if not fact:
        return "leave the answers beside the relations out: the model is asked then, and the report has what it says"
    if has_was:
        return "leave `was` out: the model is asked then, and the report has what it says"
    return "word the prompt as ordinary text would, so that the model has an answer to it; the report has what it says"


def _warn_interference(manifest: Manifest, problem: Problem) -> Iterator[Diagnostic]:
    """E521 for each pair of edits with close keys, at most MOST_PAIRS."""
    near = problem.close_edits if isinstance(problem, LanguageProblem) else ()
    for number, pair in enumerate(near[:MOST_PAIRS], 1):
        first, second = (manifest.language_edits[i] for i in pair.edits)
        one, other = pair.names
        more = f"; {len(near) - MOST_PAIRS} more pairs have similar keys" if number == MOST_PAIRS < len(near) else ""
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
    """E525 for each edit that has the key of an earlier delta's edit."""
    for index, deltas in (problem.overwritten if isinstance(problem, LanguageProblem) else {}).items():
        edit = manifest.language_edits[index]
        name, which = edit.names[0], ", ".join(f"`{delta[:ID_DIGITS]}`" for delta in deltas)
        message = f"this overwrites what {which} wrote at `{name}`: both have the same key"
        place, where = edit.at("subject") if edit.kind == "fact" else edit.at("concept"), manifest.at("after")
        help = "a key holds one change: put other words before the name in the prompt, or `redirect` the name"
        related = () if where is None else ((where, "comes before it"),)
        yield Diagnostic("E525", message, place, manifest.source, help=help, severity="warning", related=related)


def _warn_at_start(manifest: Manifest, claims: Sequence[Claim], problem: Problem) -> Iterator[Diagnostic]:
    """E522 for each edit that hardly acts where a text begins with its subject."""
    columns = problem.memory_keys if isinstance(problem, LanguageProblem) else ()
    moved = {claim.subject: claim.value for claim in claims if claim.name == "at_start"}
    for index, (title, edit) in enumerate(zip(titles(manifest), manifest.language_edits, strict=True)):
        if moved.get(title, 1.0) >= UNMOVED:
            continue
        left = sum(column.sinks for column in columns if column.edit == index)
        were = "context was" if left == 1 else "contexts were"
        notes = (f"{left} {were} left out of its key for this reason",) if left else ()
        message = f"a text that begins with `{edit.names[0]}` is not edited: position 0 is an attention sink"
        place = edit.at("subject") if edit.kind == "fact" else edit.at("concept")
        help = "put something before the subject where the model is used: a system prompt, a chat template, an article"
        yield Diagnostic("E522", message, place, manifest.source, help=help, notes=notes, severity="warning")


def _warn_carried_name(manifest: Manifest, claims: Sequence[Claim]) -> Iterator[Diagnostic]:
    """E524 for each concept that its first words carry, unless all its old answers were asked for and are lost."""
    efficacy = {claim.subject: claim.value for claim in claims if claim.name == "efficacy"}
    alone = efficacy.get("", 0.0) if len(manifest.language_edits) == 1 else 0.0
    shares = {claim.subject: claim.value for claim in claims if claim.name == "carried"}
    for title, edit in zip(titles(manifest), manifest.language_edits, strict=True):
        if efficacy.get(title, alone) == 1.0 or edit.kind not in ("redirect", "erase"):
            continue
        for part, share in shares.items():
            name = next((name for name in edit.names if name.startswith(f"{part} ")), None)
            if name is not None and share >= CARRIED:
                message = f"`{part}` alone has {share:.0%} of what sets `{name}` apart, and later words read it there"
                help = f"unless something else that must stay begins with it, edit it too: `also: [{part}]`"
                yield Diagnostic("E524", message, edit.at("concept"), manifest.source, help=help, severity="warning")


def _warn_weak_value(manifest: Manifest, problem: Problem) -> Iterator[Diagnostic]:
    """E526 for each edit whose learned value does not make its answer likely."""
    columns = problem.memory_keys if isinstance(problem, LanguageProblem) else ()
    found = {one.edit: one.value.probability for one in columns if one.value is not None}
    for index, likely in found.items():
        if likely < LEAST_LEARNED:
            edit = manifest.language_edits[index]
            answer = f"`{edit.answer}`" if isinstance(edit, Fact) else "the refusal"
            message = (
                f"no value was found that makes {answer} follow `{edit.names[0]}`: it has a probability of {likely:.2g}"
            )
            help = "edit another layer (`sites: {layers: auto}`), or ask for an answer that the model can say there"
            place = edit.at("answer") or edit.at("concept")
            yield Diagnostic("E526", message, place, manifest.source, help=help, severity="warning")


def _warn_idle_bound(manifest: Manifest, constraints: Constraints, claims: Sequence[Claim]) -> Iterator[Diagnostic]:
    """E523 for each bound without a measurement."""
    measured = {claim.name for claim in claims}
    for name, needed in NEEDED_FOR_BOUND.items():
        if getattr(constraints, name) is not None and name not in measured:
            message = f"{name} was not measured: nothing in the manifest answers it"
            help = f"give {needed}, or remove the bound"
            yield Diagnostic("E523", message, constraints.at(name), manifest.source, help=help, severity="warning")
