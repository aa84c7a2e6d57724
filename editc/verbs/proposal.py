"""The result of `editc suggest`: a manifest with the proposals in it, and the same as a table of reasons and as
JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic
from editc.core.manifest import Manifest
from editc.manifests.amend import AmendedValue, Amendment, amend
from editc.passes.images.suggest.suggest import Suggestion
from editc.passes.images.suggest.target_trials import AT_RISK, GONE, TargetTrial


@dataclass(frozen=True)
class Proposal:
    """What suggest proposes for a manifest."""

    manifest: Manifest
    """The manifest as it is."""
    suggestions: tuple[Suggestion, ...]
    """The suggestions for each edit, in the order of the manifest."""
    text: str
    """The text of the proposed manifest."""
    files: tuple[Path, ...] = ()
    """The files that were written. Empty if none was asked for."""
    notes: tuple[Diagnostic, ...] = ()
    """Warnings about the model, such as that the everyday prompts do not fit it."""


def propose(manifest: Manifest, suggestions: Sequence[Suggestion]) -> Proposal:
    """Put the suggestions into the manifest: other names, targets, concepts to preserve and their weight."""
    listed = [one for s in suggestions if s.with_preserve for one in s.preserve]
    preserve: dict[str, AmendedValue] = {}
    edited = {name for s in suggestions for name in (*s.request.names, *(n.name for n in s.names.sure))}
    names = [one.name for one in listed if one.name not in edited]
    if names:
        preserve["concepts"] = list(dict.fromkeys([*manifest.preserve.concepts, *names]))
    chosen = [_final_trial(s) for s in suggestions if s.request.kind != "moderate"]
    if chosen and not all(one.usual for one in chosen):
        preserve["weight"] = float(min(one.weight for one in chosen))
    edits = {i: _edit_changes(s) for i, s in enumerate(suggestions) if s.request.kind != "moderate"}
    return Proposal(manifest, tuple(suggestions), amend(manifest.source.text, Amendment(edits, preserve)))


def warnings(proposal: Proposal) -> tuple[Diagnostic, ...]:
    """What is said of the model; then E342 for each edit whose best target leaves too much of the concept, or puts a
    neighbour at risk."""
    return proposal.notes + tuple(
        Diagnostic(
            "E342",
            _risk_text(s, best),
            s.request.at("concept"),
            proposal.manifest.source,
            help="build with `verify.images` and look at the pictures, or choose another `to` and run suggest again",
            severity="warning",
        )
        for s in proposal.suggestions
        if not ((best := _final_trial(s)).gone and best.safe)
    )


def as_text(proposal: Proposal) -> str:
    """A table for each edit, then the proposed manifest, or the file that it was written to."""
    parts = ["\n".join(_suggestion_lines(one)) for one in proposal.suggestions]
    tail = [f"wrote {path}" for path in proposal.files] or ["", proposal.text.rstrip()]
    return "\n\n".join(parts) + "\n" + "\n".join(tail)


def as_json(proposal: Proposal) -> Mapping[str, Any]:
    """The proposal as JSON values, with every trial."""
    return {
        "manifest": proposal.text,
        "files": [str(path) for path in proposal.files],
        "edits": [_suggestion_record(one) for one in proposal.suggestions],
    }


def _edit_changes(s: Suggestion) -> Mapping[str, AmendedValue]:
    """The keys to set in one edit: its other names and its target."""
    fields: dict[str, AmendedValue] = {}
    if s.names.sure:
        fields["also"] = [*s.request.also, *(one.name for one in s.names.sure)]
    if s.best.to:
        fields["to"] = s.best.to
    return fields


def _final_trial(s: Suggestion) -> TargetTrial:
    """The trial of the edit as it stands in the proposed manifest."""
    return s.best if s.with_preserve is None else s.with_preserve


def _risk_text(s: Suggestion, best: TargetTrial) -> str:
    """What is wrong with the best trial: the concept is left, or a neighbour moves."""
    if not best.gone:
        return f"`{s.request.concept}` moves by {best.own:.2f} at best; pictures may show it below {GONE:g}"
    moved = f"erasing `{s.request.concept}` also moves `{best.moved[0].name}` by {best.worst:.2f}"
    return f"{moved}; its pictures may be lost above {AT_RISK:g}"


def _suggestion_lines(s: Suggestion) -> Iterator[str]:
    """The table of one edit: names, ingredients, trials, and what to preserve."""
    yield f"{s.request.kind} {s.request.concept}"
    yield f"  other names  {_names_text(s)}"
    yield f"  made of      {_ingredients_text(s)}"
    yield "  targets      to               likeness  weight  concept  cost  moves most"
    for trial in s.trials:
        mark = "*" if trial is s.best else " "
        most = ", ".join(f"{one.name} {one.movement:.2f}" for one in trial.moved[:3])
        name = "(the manifest's)" if trial.to is None else trial.to or "(the empty prompt)"
        left = " " if trial.gone else "!"
        figures = f"{trial.likeness:>8.2f}  {trial.weight:>6g}  {trial.own:>6.2f}{left}  {trial.cost:.2f}"
        yield f"             {mark} {name:<18.18}{figures}  {most}"
    yield f"  at risk      {_at_risk_text(s)}"
    yield f"  preserve     {_preserve_text(s)}"


def _names_text(s: Suggestion) -> str:
    """The other names of a concept, with their scores."""
    names, gap_width = s.names, {True: "clear", False: "narrow"}[s.names.clear]
    sure = ", ".join(f"{one.name} {one.score:.2f}" for one in names.sure)
    doubt = ", ".join(f"{one.name} {one.score:.2f}" for one in names.doubtful)
    if sure:
        below = f"; the next name is {names.gap:.2f} lower, a {gap_width} gap"
        return sure + below + (f"; doubtful: {doubt}" if doubt else "")
    return f"none is sure; doubtful: {doubt}" if doubt else "none found"


def _ingredients_text(s: Suggestion) -> str:
    """The names of the dictionary that a concept is a mixture of, with their amounts."""
    if not s.ingredients:
        return "no mixture of the compared names"
    parts = [
        f"{one.amount:.2f} {one.name}" + (f" (or {', '.join(one.rivals[:2])})" if one.rivals else "")
        for one in s.ingredients
    ]
    sure = (
        ""
        if s.decomposition.unique
        else f"; other mixtures may fit as well (coherence {s.decomposition.coherence:.2f})"
    )
    return f"{' + '.join(parts)}, {s.decomposition.residual:.0%} unexplained{sure}"


def _at_risk_text(s: Suggestion) -> str:
    """The names that the edit as written may harm, with the estimate and what to do."""
    trial = s.as_written
    target = "the manifest's targets" if trial.to is None else f"`{trial.to}`" if trial.to else "the empty prompt"
    if not s.at_risk:
        return f"no compared name moves by more than {AT_RISK:g} (to {target}, as written)"
    names = ", ".join(f"{one.name} {one.movement:.2f}" for one in s.at_risk)
    listed = ", ".join(one.name for one in s.at_risk)
    head = f"{names} (to {target}, as written): their pictures may be lost"
    return f"{head}\n               to lower this: `preserve: {{concepts: [{listed}]}}`, or another `to`"


def _preserve_text(s: Suggestion) -> str:
    """The concepts that the edit moves most, and what it costs to preserve them by name."""
    names = ", ".join(f"{one.name} {one.movement:.2f}" for one in s.preserve) or "nothing moves"
    if s.with_preserve is None:
        return f"{names}\n               preserving them by name lowers no cost, so none is proposed"
    with_them = (
        f"weight {s.with_preserve.weight:g}, cost {s.with_preserve.cost:.2f} with them, {s.best.cost:.2f} without"
    )
    return f"{names}\n               preserved by name beside the default list: {with_them}"


def _suggestion_record(s: Suggestion) -> Mapping[str, Any]:
    """The suggestions for one edit as JSON values."""
    return {
        "concept": s.request.concept,
        "also": [{"name": one.name, "score": one.score} for one in s.names.sure],
        "doubtful": [{"name": one.name, "score": one.score} for one in s.names.doubtful],
        "gap": s.names.gap,
        "made_of": [
            {"name": one.name, "amount": one.amount, "share": one.share, "rivals": list(one.rivals)}
            for one in s.ingredients
        ],
        "left_over": s.decomposition.residual,
        "coherence": s.decomposition.coherence,
        "to": s.best.to,
        "trials": [_trial_record(one) for one in s.trials],
        "at_risk": [vars(one) for one in s.at_risk],
        "preserve": [vars(one) for one in s.preserve],
        "listed": None if s.with_preserve is None else _trial_record(s.with_preserve),
    }


def _trial_record(trial: TargetTrial) -> Mapping[str, Any]:
    """One trial as JSON values."""
    moved = {one.name: one.movement for one in trial.moved}
    return {name: value for name, value in vars(trial).items() if name != "moved"} | {
        "gone": trial.gone,
        "cost": trial.cost,
        "moved": moved,
    }
