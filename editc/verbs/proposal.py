"""What `suggest` found, as a manifest that builds, as a table with reasons, and as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic
from editc.core.manifest import Manifest
from editc.manifests.amend import AmendedValue, Amendment, amend
from editc.passes.images.suggest.suggest import Suggestion
from editc.passes.images.suggest.target_trials import AT_RISK, GONE, Trial


@dataclass(frozen=True)
class Proposal:
    """`text` is the manifest as proposed; `files` were written."""

    manifest: Manifest
    suggestions: tuple[Suggestion, ...]
    text: str
    files: tuple[Path, ...] = ()


def propose(manifest: Manifest, found: Sequence[Suggestion]) -> Proposal:
    """The manifest amended."""
    listed = [one for s in found if s.listed for one in s.preserve]
    preserve: dict[str, AmendedValue] = {}
    edited = {name for s in found for name in (*s.request.names, *(n.name for n in s.names.sure))}
    names = [one.name for one in listed if one.name not in edited]
    if names:
        preserve["concepts"] = list(dict.fromkeys([*manifest.preserve.concepts, *names]))
    chosen = [_final(s) for s in found if s.request.kind != "moderate"]
    if chosen and not all(one.usual for one in chosen):
        preserve["weight"] = float(min(one.weight for one in chosen))
    edits = {i: _fields(s) for i, s in enumerate(found) if s.request.kind != "moderate"}
    return Proposal(manifest, tuple(found), amend(manifest.source.text, Amendment(edits, preserve)))


def warnings(proposal: Proposal) -> tuple[Diagnostic, ...]:
    """E342 for each edit whose best target leaves the concept or puts a neighbour at risk."""
    return tuple(
        Diagnostic(
            "E342",
            _risk(s, best),
            s.request.at("concept"),
            proposal.manifest.source,
            help="build it with `verify.images` and look, or name a target of your own and run suggest again",
            severity="warning",
        )
        for s in proposal.suggestions
        if not ((best := _final(s)).gone and best.safe)
    )


def as_text(proposal: Proposal) -> str:
    """A short table an edit, then the manifest, or where it was written."""
    parts = ["\n".join(_lines(one)) for one in proposal.suggestions]
    tail = [f"wrote {path}" for path in proposal.files] or ["", proposal.text.rstrip()]
    return "\n\n".join(parts) + "\n" + "\n".join(tail)


def as_json(proposal: Proposal) -> Mapping[str, Any]:
    """The same as JSON values, every trial in full."""
    return {
        "manifest": proposal.text,
        "files": [str(path) for path in proposal.files],
        "edits": [_record(one) for one in proposal.suggestions],
    }


def _fields(s: Suggestion) -> Mapping[str, AmendedValue]:
    fields: dict[str, AmendedValue] = {}
    if s.names.sure:
        fields["also"] = [*s.request.also, *(one.name for one in s.names.sure)]
    if s.best.to:
        fields["to"] = s.best.to
    return fields


def _final(s: Suggestion) -> Trial:
    """The trial that the manifest as proposed amounts to."""
    return s.best if s.listed is None else s.listed


def _risk(s: Suggestion, best: Trial) -> str:
    if not best.gone:
        return f"`{s.request.concept}` moves by {best.own:.2f} at best, and is gone from {GONE:g} on"
    return f"erasing `{s.request.concept}` moves `{best.moved[0].name}` by {best.worst:.2f}, and {AT_RISK:g} is a risk"


def _lines(s: Suggestion) -> Iterator[str]:
    yield f"{s.request.kind} {s.request.concept}"
    yield f"  other names  {_names(s)}"
    yield f"  made of      {_ingredients(s)}"
    yield "  targets      to               likeness  weight  concept  cost  moves most"
    for trial in s.trials:
        mark = "*" if trial is s.best else " "
        most = ", ".join(f"{one.name} {one.movement:.2f}" for one in trial.moved[:3])
        name = "(as it stands)" if trial.to is None else trial.to or "(the empty prompt)"
        left = " " if trial.gone else "!"
        figures = f"{trial.likeness:>8.2f}  {trial.weight:>6g}  {trial.own:>6.2f}{left}  {trial.cost:.2f}"
        yield f"             {mark} {name:<18.18}{figures}  {most}"
    yield f"  preserve     {_preserve(s)}"


def _names(s: Suggestion) -> str:
    names, told = s.names, {True: "clear", False: "narrow"}[s.names.clear]
    sure = ", ".join(f"{one.name} {one.score:.2f}" for one in names.sure)
    doubt = ", ".join(f"{one.name} {one.score:.2f}" for one in names.doubtful)
    if sure:
        return f"{sure}: a {told} gap of {names.gap:.2f} below" + (f"; doubtful: {doubt}" if doubt else "")
    return f"none is sure; near, with no gap below: {doubt}" if doubt else "none found"


def _ingredients(s: Suggestion) -> str:
    if not s.ingredients:
        return "nothing that the dictionary holds"
    parts = [
        f"{one.amount:.2f} {one.name}" + (f" (or {', '.join(one.rivals[:2])})" if one.rivals else "")
        for one in s.ingredients
    ]
    sure = "" if s.made.recoverable else f"; coherence {s.made.coherence:.2f}: other mixtures may do as well"
    return f"{' + '.join(parts)}, {s.made.residual:.0%} left over{sure}"


def _preserve(s: Suggestion) -> str:
    names = ", ".join(f"{one.name} {one.movement:.2f}" for one in s.preserve) or "nothing moves"
    if s.listed is None:
        return f"{names}\n               listing them lowers no cost: none is proposed"
    with_them = f"weight {s.listed.weight:g}, cost {s.listed.cost:.2f} with them, {s.best.cost:.2f} without"
    return f"{names}\n               preserved by name, beside what is kept by default: {with_them}"


def _record(s: Suggestion) -> Mapping[str, Any]:
    return {
        "concept": s.request.concept,
        "also": [{"name": one.name, "score": one.score} for one in s.names.sure],
        "doubtful": [{"name": one.name, "score": one.score} for one in s.names.doubtful],
        "gap": s.names.gap,
        "made_of": [
            {"name": one.name, "amount": one.amount, "share": one.share, "rivals": list(one.rivals)}
            for one in s.ingredients
        ],
        "left_over": s.made.residual,
        "coherence": s.made.coherence,
        "to": s.best.to,
        "trials": [_trial(one) for one in s.trials],
        "preserve": [vars(one) for one in s.preserve],
        "listed": None if s.listed is None else _trial(s.listed),
    }


def _trial(trial: Trial) -> Mapping[str, Any]:
    moved = {one.name: one.movement for one in trial.moved}
    return {name: value for name, value in vars(trial).items() if name != "moved"} | {
        "gone": trial.gone,
        "cost": trial.cost,
        "moved": moved,
    }
