"""The public functions of editc.

They take and return values, and they print nothing. They raise EditcError for anything that the user has to mend.

    built = build("manifest.yaml", "out")
    apply("out/delta.safetensors", "stabilityai/stable-diffusion-2-1", out="patched")

A path is text or a `Path`. Functions that take deltas accept one or several; each is a file or the folder of a build.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from editc.core.diagnostics import Diagnostic, EditcError
from editc.libraries.tool import tool
from editc.progress import in_notebook
from editc.verbs.evidence import sbom, sign, verify_signature
from editc.verbs.paths import DELTA, LAST_GOOD, PAGE, REPORT, PathLike
from editc.verbs.public import (
    apply,
    attack,
    build,
    check,
    diff,
    doctor,
    explain,
    export,
    inspect,
    link,
    load,
    make_lora_ready,
    plan_apply,
    pull,
    push,
    revert,
    status,
    suggest,
    verify,
    write_card,
)
from editc.verbs.results import Again, Attacked, Built, Checked

if TYPE_CHECKING:  # only a fleet and the start of a manifest need these
    from editc.fleet.run import Fleet
    from editc.progress import ShowProgress
    from editc.start.listing import Name


@in_notebook
def run_fleet(
    plan: PathLike,
    out: PathLike,
    engine: str = "processes",
    workers: int = 0,
    threads: int = 1,
    address: str = "",
    slurm: Mapping[str, Any] = MappingProxyType({}),
    share: tuple[int, int] = (0, 1),
    retry: bool = False,
    progress: ShowProgress = None,
) -> Fleet:
    """Run the cells of a plan that have no result in the folder `out`, and write one page and one JSON of all cells.

    `workers` and `threads` are how many cells run at once and how many cores each uses; 0 workers: as many as there are
    cores for. `share` (I, N) runs every N-th cell from cell I on. `retry` runs those that failed again, too. Raises
    EditcError for a plan that is wrong, and where the engine cannot be used; a cell that fails raises nothing.
    """
    from editc.fleet.run import How, fleet

    how = How(engine, workers, threads, address, slurm, share)
    return fleet(Path(plan), Path(out), how, retry, progress=progress or None)


def list_names(kind: str) -> tuple[Name, ...]:
    """List methods, attacks, families, formats, detectors or examples, each with one sentence."""
    from editc.start.listing import list_names

    return list_names(kind)


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of a manifest, with the names that installed packages add."""
    from editc.manifests.json_schema.whole import manifest_schema

    return manifest_schema(installed=True)


__all__ = [
    "DELTA",
    "LAST_GOOD",
    "PAGE",
    "REPORT",
    "Again",
    "Attacked",
    "Built",
    "Checked",
    "Diagnostic",
    "EditcError",
    "apply",
    "attack",
    "build",
    "check",
    "diff",
    "doctor",
    "explain",
    "export",
    "inspect",
    "link",
    "list_names",
    "load",
    "make_lora_ready",
    "manifest_schema",
    "plan_apply",
    "pull",
    "push",
    "revert",
    "run_fleet",
    "sbom",
    "sign",
    "status",
    "suggest",
    "tool",
    "verify",
    "verify_signature",
    "write_card",
]
