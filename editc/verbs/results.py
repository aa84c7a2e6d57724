"""What `check`, `build` and `verify` of `editc.api` return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from editc.core.text import count

if TYPE_CHECKING:  # an apply needs none of these and starts faster without them
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from editc.core.delta import Delta
    from editc.core.diagnostics import Diagnostic
    from editc.core.manifest import Manifest
    from editc.core.measurements import AttackResult, Claim
    from editc.core.plan import Plan
    from editc.core.solution import Verified
    from editc.core.verdict import Verdict
    from editc.formats.exports.write import Export
    from editc.verbs import link


@dataclass(frozen=True)
class Checked:
    """The result of `check`."""

    diagnostics: tuple[Diagnostic, ...]
    """Errors and warnings, in the order of the manifest's lines."""
    manifest: Manifest | None
    """The manifest. None if it has an error of its own."""
    plan: Plan | None
    """What would be edited. None if there is an error, or the model was not looked at."""

    def __repr__(self) -> str:
        """Short text: how many faults, and what would be edited."""
        return f"<Checked: {self._verdict}>"

    def _repr_html_(self) -> str:
        """The faults with their places, for notebooks."""
        return _faults_table(f"Checked: {self._verdict}", self.diagnostics)

    @property
    def _verdict(self) -> str:
        """In a few words: sound or not."""
        errors = sum(one.is_error for one in self.diagnostics)
        warned = count(len(self.diagnostics) - errors, "warning")
        plan = repr(self.plan) if self.plan else "without its model"
        return f"{count(errors, 'error')}, {warned}" if errors else f"sound, {warned}, {plan}"


@dataclass(frozen=True)
class Built:
    """The result of `build`."""

    verified: Verified
    """The solution with all measurements."""
    delta: Delta | None
    """The delta as written. None if a constraint is broken."""
    failures: tuple[Diagnostic, ...]
    """Broken constraints, and exports that failed."""
    warnings: tuple[Diagnostic, ...]
    """Warnings of the manifest, the model and the measurements."""
    files: tuple[Path, ...]
    """Every file that was written: delta, reports, exports."""
    exports: tuple[Export, ...] = ()
    """The exports under `emit`, with the ones that failed their test."""
    encoders: Mapping[str, str] = field(default_factory=dict)
    """Text encoder -> what ran it: `numpy` or `transformers`. Empty for language models."""

    def __repr__(self) -> str:
        """Short text: where the files are, and the verdict in three words."""
        folder = str(self.files[0].parent) if self.files else "nowhere"
        return f"<Built in {folder}: {self.verdict.short}{'' if self.delta else '; no delta, a constraint is not met'}>"

    def _repr_html_(self) -> str:
        """The verdict, and what is wrong, for notebooks."""
        faults = _faults_table("No delta" if self.delta is None else "Exports that failed", self.failures)
        return self.verdict._repr_html_() + (faults if self.failures else "")

    @property
    def verdict(self) -> Verdict:
        """The summary of the report: works, costs, robust."""
        return self.verified.verdict

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every measurement of the report."""
        return self.verified.claims


@dataclass(frozen=True)
class Attacked:
    """The result of `attack`."""

    delta: Delta
    """The delta that was attacked."""
    tier: str
    """How the model matches the delta's base, such as `exact`."""
    results: tuple[AttackResult, ...]
    """What each attack made of each erased concept, with its controls."""
    claims: tuple[Claim, ...]
    """`brought_back` of each attack that says something, with its bound if one was given."""
    failures: tuple[Diagnostic, ...]
    """Bounds that an attack broke."""
    warnings: tuple[Diagnostic, ...]
    """Attacks that say nothing."""
    detector: Mapping[str, Any]
    """Who judged the pictures, as reports record it."""

    def __repr__(self) -> str:
        """Short text: how many attacks, and how many broke a bound."""
        broke = count(len(self.failures), "bound")
        return f"<Attacked: {self.delta!r} ({self.tier}), {count(len(self.results), 'attack')}, {broke} broken>"

    def _repr_html_(self) -> str:
        """How often each attack brought a concept back, for notebooks."""
        from editc.notebook.table import table

        rows = [
            (one.attack, one.concept, f"{one.shown} of {one.of}", f"unedited: {one.control} of {one.of}")
            for one in self.results
        ]
        faults = _faults_table("What they say", (*self.failures, *self.warnings))
        return table(f"Pictures that show the concept, {self.tier} base", rows) + (faults if self._faults else "")

    @property
    def _faults(self) -> bool:
        """True where there is a failure or a warning."""
        return bool(self.failures or self.warnings)


@dataclass(frozen=True)
class Again:
    """The result of `verify`: a delta measured again."""

    delta: Delta
    """The delta."""
    tier: str
    """How the model matches the delta's base, such as `exact`. `already`: the edit is in the model."""
    verified: Verified | None
    """The new measurements. None if the edit is in the model already, so that no base is left to compare with, and None
    for a linked delta."""
    failures: tuple[Diagnostic, ...]
    """Broken bounds. If the model is the delta's own base, also claims that differ from what is recorded. E512 alone if
    nothing was measured."""
    parts: tuple[link.LinkedPart, ...] = ()
    """For a linked delta, each part with its measurements. Otherwise empty."""
    warnings: tuple[Diagnostic, ...] = ()
    """Warnings about what this measurement cannot prove."""

    def __repr__(self) -> str:
        """Short text: the delta, and whether it was confirmed."""
        return f"<Again: {self.delta!r} ({self.tier}), {self._verdict}>"

    def _repr_html_(self) -> str:
        """The claims with their bounds, and what is wrong, for notebooks."""
        from editc.notebook.table import table

        claims = () if self.verified is None else self.verified.claims
        rows = [(f"{one.name} {one.subject}", one.value, _bound_words(one)) for one in claims]
        faults = _faults_table(self._verdict, (*self.failures, *self.warnings))
        return table(f"Measured again ({self.tier}): {self._verdict}", rows) + (faults if self.failures else "")

    @property
    def _verdict(self) -> str:
        """In a few words: confirmed, not confirmed, or not measured."""
        if [one.code for one in self.failures] == ["E512"]:
            return "nothing was measured"
        return f"{count(len(self.failures), 'claim')} not confirmed" if self.failures else "confirmed"


def _faults_table(title: str, faults: Iterable[Diagnostic]) -> str:
    """Faults with their places and what to do, for notebooks."""
    from editc.notebook.table import table

    return table(title, [(one.code, one.where, one.message, one.help) for one in faults])


def _bound_words(claim: Claim) -> str:
    """The bound of a claim, and whether it is met. Empty without a bound."""
    if claim.bound is None:
        return ""
    return f"{'at least' if claim.least else 'at most'} {claim.bound:.4g}{'' if claim.holds else ': NOT MET'}"
