"""What the command line shows of image models only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from editc.cli.show.output import bystander_lines, claim_lines

if TYPE_CHECKING:
    from editc.core.manifest import Manifest
    from editc.core.solution import Verified


def titles(manifest: Manifest) -> list[str]:
    """The concept of each edit, in the order of the manifest."""
    return [edit.concept for edit in manifest.image_edits]


def sites_text(count: int, share: float) -> str:
    """The number of matrices for `sites: auto`: the candidates, and the share that the chosen ones must carry."""
    return f"the fewest of {count} matrices that carry {share:.10g} of the concept"


def measured_lines(verified: Verified) -> Iterator[str]:
    """Every claim, then the bystanders that lost something."""
    yield from claim_lines(verified.report.claims)
    yield from bystander_lines(verified.report.bystanders)
