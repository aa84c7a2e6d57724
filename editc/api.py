"""The public functions of editc.

They take and return values, and they print nothing. They raise EditcError for anything that the user has to mend.

    built = build("manifest.yaml", "out")
    apply("out/delta.safetensors", "stabilityai/stable-diffusion-2-1", out="patched")

A path is text or a `Path`. Functions that take deltas accept one or several; each is a file or the folder of a build.
"""

from __future__ import annotations

from editc.core.diagnostics import Diagnostic, EditcError
from editc.verbs.paths import DELTA, LAST_GOOD, PAGE, REPORT
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
    make_lora_ready,
    plan_apply,
    revert,
    status,
    suggest,
    verify,
)
from editc.verbs.results import Again, Attacked, Built, Checked
from editc.verbs.tool import tool

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
    "make_lora_ready",
    "plan_apply",
    "revert",
    "status",
    "suggest",
    "tool",
    "verify",
]
