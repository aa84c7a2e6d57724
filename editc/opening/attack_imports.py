"""Imports the libraries of attack processes once, in the process that all of them are forked from.

`editc.opening.attack_processes` names this module to that process. Whoever else imports it gets the libraries too.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from importlib import import_module

LIBRARIES = (
    "torch",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion",
    "diffusers.schedulers.scheduling_ddim",
    "editc.backends.diffusion",
)
"""What opening a pipeline imports. A pipeline of another kind imports the rest in each process."""


def _import_libraries() -> None:
    """Import them without collecting cyclic garbage, and leave what they made out of later collections."""
    gc.disable()
    for name in LIBRARIES:
        with suppress(ImportError):
            import_module(name)
    gc.freeze()
    gc.enable()


_import_libraries()
