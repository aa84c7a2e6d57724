"""Match the same parameter under different prefixes, which libraries put before its name.

For example, `h.0.mlp.c_proj.weight` in a file of the hub is `transformer.h.0.mlp.c_proj.weight` in a file that
transformers saved, and `language_model.model.layers.0` in a file is `model.language_model.layers.0` in the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

WRAPPERS = frozenset(
    {
        *("model", "language_model", "text_model", "transformer", "gpt_neox"),
        *("unet", "text_encoder"),
        *("base_model", "module", "_orig_mod"),
    }
)
"""Parts of a name that say where a program keeps a module, not which module it is: in transformers' classes, in
pipelines, and in what wraps a model for training (PEFT, DataParallel, torch.compile)."""


def bare_name(name: str) -> str:
    """The name without the wrappers before it. Its last part always stays."""
    parts = name.split(".")
    first = next((i for i, part in enumerate(parts[:-1]) if part not in WRAPPERS), len(parts) - 1)
    return ".".join(parts[first:])


def match_names(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Each of `names` -> the one of `others` that is the same parameter. Names without a match are missing.

    The same name matches first; else the only name with the same bare name. Where several names share a bare name, only
    the whole name matches.
    """
    every, known = list(names), set(others)
    found = {name: name for name in every if name in known}
    mine, theirs = _unique_bare_names(every), _unique_bare_names(known)
    free = {key: name for key, name in theirs.items() if name not in found}
    other = (name for name in every if name not in known and mine.get(bare_name(name)) == name)
    return found | {name: free[bare_name(name)] for name in other if bare_name(name) in free}


def _unique_bare_names(names: Iterable[str]) -> Mapping[str, str]:
    """Bare name -> name, for bare names that belong to exactly one name."""
    found: dict[str, str | None] = {}
    for name in names:
        found[bare_name(name)] = None if bare_name(name) in found else name
    return {key: name for key, name in found.items() if name is not None}
