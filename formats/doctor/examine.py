"""Predict what every loader does with an adapter file, and whether each loader that the file is meant for applies all
of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from editc.core.diagnostics import Diagnostic
from editc.formats.delta.container import read_delta
from editc.formats.doctor import a1111, comfyui, diffusers, peft, vllm
from editc.formats.doctor.advice import AGAIN, advise_conversion, advise_export
from editc.formats.doctor.models import (
    KINDS,
    TITLES,
    KnownModules,
    infer_model,
    read_modules,
)
from editc.formats.doctor.spelling import AdapterFile, read_adapter_file
from editc.formats.doctor.verdict import Fate, LoaderVerdict, add_nearest
from editc.formats.models.model import Model

LOADERS = {judged.LOADER: judged.judge for judged in (diffusers, comfyui, a1111, peft, vllm)}
"""Loader -> the function that judges an adapter for it."""


@dataclass(frozen=True)
class Examination:
    """What every loader does with one adapter."""

    adapter: AdapterFile
    """The adapter."""
    known: KnownModules
    """The model by whose modules it was judged."""
    verdicts: tuple[LoaderVerdict, ...]
    """One verdict for each loader."""
    meant_for: tuple[str, ...]
    """The loaders that decide whether the file is sound."""

    def __repr__(self) -> str:
        """A short text, because an adapter holds every module."""
        return f"<Examination: {', '.join(f'{one.loader} {one.outcome}' for one in self.verdicts)}>"

    @property
    def sound(self) -> bool:
        """True if at least one loader that the file is meant for applies all of it at the intended scale, and each of
        the others does so or is not judged."""
        outcomes = {verdict.outcome for verdict in self.verdicts if verdict.loader in self.meant_for}
        return "applies" in outcomes and outcomes <= {"applies", "not judged"}


def examine(path: Path, model: Model | None = None, loaders: Sequence[str] = ()) -> Examination:
    """Judge the adapter at `path` by the modules of `model`, or of the model that its names suggest.

    `loaders`: the loaders that count; by default all that read adapters of this kind. Raises what reading the adapter
    and the model raises.
    """
    adapter = read_adapter_file(path)
    known = infer_model(adapter) if model is None else read_modules(model)
    verdicts = add_nearest([judge(adapter, known) for judge in LOADERS.values()], known)
    if adapter.container == "delta":
        verdicts = tuple(replace(verdict, advice=_advise_export(adapter)) for verdict in verdicts)
    return Examination(adapter, known, verdicts, tuple(loaders) or intended_loaders(adapter, known))


def intended_loaders(adapter: AdapterFile, known: KnownModules) -> tuple[str, ...]:
    """The loaders that people would give such a file to; none for a delta or a GGUF file."""
    if adapter.container in ("delta", "gguf"):
        return ()
    if known.kind == "language":
        return ("PEFT", "vLLM")
    if adapter.container == "folder":
        return ("PEFT",)
    return ("diffusers", "ComfyUI", "A1111") if known.is_unet else ("diffusers", "ComfyUI")


def find_failures(found: Examination) -> tuple[Diagnostic, ...]:
    """E688 if a loader that counts does not apply all of the file; E639 if no loader that counts can be judged; ()
    otherwise."""
    if found.sound:
        return ()
    counted = [verdict for verdict in found.verdicts if verdict.loader in found.meant_for]
    bad = [verdict for verdict in counted if verdict.outcome not in ("applies", "not judged")]
    if counted and not bad:
        return (_not_judged_error(found, [verdict for verdict in counted if verdict.outcome == "not judged"]),)
    message = f"not every loader takes all of the adapter: {', '.join(v.loader for v in bad)}"
    help_text = next((verdict.advice for verdict in bad if verdict.advice), _advise_conversion(found.known))
    if found.adapter.container == "delta":
        message, help_text = "this is an editc delta, which no other program loads", _advise_export(found.adapter)
    elif found.adapter.container == "gguf":
        message, help_text = (
            "this is a GGUF file, which none of these loads",
            "llama.cpp loads it; the doctor does not judge llama.cpp",
        )
    return (Diagnostic("E688", message, place=str(found.adapter.path), help=help_text),)


def _not_judged_error(found: Examination, untold: Sequence[LoaderVerdict]) -> Diagnostic:
    """Make the diagnostic E639."""
    message = f"editc does not know what {', '.join(verdict.loader for verdict in untold)} would do with this adapter"
    help_text = untold[0].advice or "name the model with --model, or try the file in the program itself"
    return Diagnostic("E639", message, place=str(found.adapter.path), help=help_text, notes=(untold[0].reason,))


def headline(verdict: LoaderVerdict) -> str:
    """Sum up a verdict in a few words, for the first line of a loader."""
    total, good = len(verdict.rows), verdict.count("applied")
    if verdict.outcome == "applies":
        return f"applies {good} of {total} at {scale_text(verdict)}"
    if verdict.outcome == "partly":
        fates: tuple[tuple[Fate, str], ...] = (("wrong", _wrong_scale_text(verdict)), ("lost", "left out"))
        bad = (f", {count} {said}" for fate, said in fates if (count := verdict.count(fate)))
        return f"partly: {good} of {total} right{''.join(bad)}"
    if verdict.outcome == "nothing":
        return f"loads and does nothing: 0 of {total}"
    return f"refused: {verdict.error}" if verdict.outcome == "refused" else "not judged"


def scale_text(verdict: LoaderVerdict) -> str:
    """Describe the scales of the matched modules: one number, or the smallest and the largest."""
    scales = sorted({round(row.scale, 9) for row in verdict.rows if row.scale is not None})
    if not scales:
        return "its own scale"
    return f"scale {scales[0]:g}" if len(scales) == 1 else f"scales {scales[0]:g} to {scales[-1]:g}"


def describe(found: Examination) -> dict[str, Any]:
    """The examination as plain JSON values."""
    adapter, known = found.adapter, found.known
    return {
        "file": str(adapter.path),
        "container": adapter.container,
        "model": {"kind": known.kind, "title": TITLES[known.kind], "why": known.why},
        "meant_for": list(found.meant_for),
        "sound": found.sound,
        "modules": [
            {
                "name": m.name,
                "kind": m.kind,
                "style": m.style,
                "rank": m.rank,
                "alpha": m.alpha,
                "tensors": _tensors(m.tensors),
            }
            for m in adapter
        ],
        "loaders": [_verdict(verdict) for verdict in found.verdicts],
    }


def _verdict(verdict: LoaderVerdict) -> dict[str, Any]:
    """One loader's verdict as plain JSON values."""
    rows = [{**asdict(row), "rule": row.rule.name} for row in verdict.rows]
    return {
        "loader": verdict.loader,
        "outcome": verdict.outcome,
        "says": headline(verdict),
        "reason": verdict.reason,
        "advice": verdict.advice,
        "error": verdict.error,
        "applied": verdict.count("applied"),
        "wrong": verdict.count("wrong"),
        "lost": verdict.count("lost"),
        "rules": [{"name": r.name, "says": r.says, "source": r.cited, "how": r.how} for r in verdict.rules],
        "modules": rows,
    }


def _tensors(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Ending -> dtype and shape, as plain JSON values."""
    return {end: {"dtype": entry.dtype, "shape": list(entry.shape)} for end, entry in tensors.items()}


def _wrong_scale_text(verdict: LoaderVerdict) -> str:
    """Describe the ratio of the applied scale to the intended one."""
    ratios = [row.scale / row.meant for row in verdict.rows if row.fate == "wrong" and row.scale and row.meant]
    if not ratios:
        return "changed"
    least, most = min(ratios), max(ratios)
    return f"at {least:g} of the scale" if least == most else f"at {least:g} to {most:g} of the scale"


def _advise_conversion(known: KnownModules) -> str:
    """Say how the adapter gets into a spelling that all loaders of its kind read."""
    return advise_conversion(known.kind) if known.kind in KINDS.values() else AGAIN


def _advise_export(adapter: AdapterFile) -> str:
    """Say how a delta is exported for the programs of its family."""
    return advise_export(read_delta(adapter.path).family)
