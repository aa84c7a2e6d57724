"""What is shown of image models alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from editc.cli.output import bystander_lines, claim_lines

if TYPE_CHECKING:
    from editc.core.manifest import Manifest
    from editc.core.solution import Verified


def titles(manifest: Manifest) -> list[str]:
    """What each edit is about."""
    return [edit.concept for edit in manifest.image_edits]


def sites_text(count: int, share: float) -> str:
    """Which matrices `sites: auto` will choose, of so many candidates."""
    return f"of {count} matrices those that carry {share:.10g}"


def measured_lines(verified: Verified) -> Iterator[str]:
    """Every claim, and what became of the bystanders."""
    yield from claim_lines(verified.report.claims)
    yield from bystander_lines(verified.report.bystanders)
