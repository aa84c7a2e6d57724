"""What the verbs of `editc.api` return: a checked manifest, a build, a delta measured again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # an apply needs none of these, and starts in half the time without
    from pathlib import Path

    from editc.core.delta import Delta
    from editc.core.diagnostics import Diagnostic
    from editc.core.manifest import Manifest
    from editc.core.measurements import Claim
    from editc.core.plan import Plan
    from editc.core.solution import Verified
    from editc.core.verdict import Verdict
    from editc.formats.exports.write import Export
    from editc.verbs import link


@dataclass(frozen=True)
class Checked:
    """What `check` found: warnings and errors in the order of the lines, and the plan when there is no error."""

    diagnostics: tuple[Diagnostic, ...]
    manifest: Manifest | None
    plan: Plan | None


@dataclass(frozen=True)
class Built:
    """What a build made. `failures` are the constraints that it broke: then there is a report and no delta."""

    verified: Verified
    delta: Delta | None
    failures: tuple[Diagnostic, ...]
    warnings: tuple[Diagnostic, ...]
    files: tuple[Path, ...]
    exports: tuple[Export, ...] = ()

    def __repr__(self) -> str:
        """Short: where the files are, and the verdict in three words."""
        where = str(self.files[0].parent) if self.files else "nowhere"
        return f"<Built in {where}: {self.verdict.short}{'' if self.delta else '; no delta, a constraint is not met'}>"

    def _repr_html_(self) -> str:
        """The verdict, for notebooks."""
        return self.verdict._repr_html_()

    @property
    def verdict(self) -> Verdict:
        """What the report comes to: works, costs, robust."""
        return self.verified.verdict

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every measurement of the report."""
        return self.verified.claims


@dataclass(frozen=True)
class Again:
    """A delta measured anew. `tier` is how the model matched; `already`: the edit is in it, bit for bit as recorded.

    `verified` is None then, for the base that the claims compare with is not there, and `failures` has E512. Else
    `failures` are bounds that are broken and, where the weights are the delta's own base, claims that do not come out
    as recorded. Of a linked delta each of the `parts` is measured, and `verified` is None too. `warnings`: what makes
    this prove less than it seems.
    """

    delta: Delta
    tier: str
    verified: Verified | None
    failures: tuple[Diagnostic, ...]
    parts: tuple[link.LinkedPart, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()
