"""The tables of docs/measurements/interop.md: `python -m benchmarks.interop` prints them, `--write` writes the page.

Every format of the registry is written for pico models of each kind (the real classes and module names, random
weights) and read by the real programs; then programs that can fuse do, in float32, and their weights are compared with
those of `editc apply`. What `editc doctor` says of the same files comes from its rules, without running anything.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError
from editc.core.site_bytes import patch_site, stored_shape
from editc.formats.apply.plan import plan_apply
from editc.formats.exports.format import Job
from editc.formats.exports.write import Export, export
from editc.formats.models.model import Model
from editc.numerics.bits import dtypes
from editc.registry.formats import FORMATS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measurements" / "interop.md"
FROM, TO = "<!-- python -m benchmarks.interop --write -->", "<!-- end -->"
FAMILIES = ("sd1", "sdxl", "flux", "sd3", "llama", "gpt2")
RANKS = (1, 2, 3, 4, 5)
FUSED = ("kohya", "diffusers", "peft", "checkpoint")
"""Formats whose programs can make weights of them."""


@dataclass(frozen=True)
class Case:
    """One delta of one pico model."""

    family: str
    says: str
    model: Model
    delta: Delta


@dataclass(frozen=True)
class Tried:
    """One format of one case: what was written and tried, or the code that refused it."""

    case: Case
    format: str
    made: Export | None
    refused: str = ""


def cases(folder: Path) -> Iterator[Case]:
    """The sites that each family edits, in its shared form or low-rank; of UNets every matrix and convolution too."""
    import consumer_models as pico

    for family in FAMILIES:
        model = pico.made(family, folder / family)
        chosen = pico.sites(model, family)
        form, ranks = ("low-rank", RANKS) if family in pico.TEXTS else ("shared", (3,))
        says = "ranks 1 to 5" if form == "low-rank" else "shared, rank 3"
        count = "1 matrix" if len(chosen) == 1 else f"{len(chosen)} matrices"
        yield Case(family, f"{count}, {says}", model, pico.delta(model, family, chosen, form, ranks))
        if family not in pico.TEXTS:
            every = pico.every_site(model, chosen[0].component)
            delta = pico.delta(model, family, every, "low-rank", RANKS)
            yield Case(family, f"all {len(every)}, ranks 1 to 5", model, delta)


def tried(case: Case, folder: Path) -> Iterator[Tried]:
    """Every format that suits the case's family."""
    for name in FORMATS.names():
        form = FORMATS.resolve(name)
        if name == "safetensors" or form.suits(case.family):
            continue
        out = folder / name / form.output
        out.parent.mkdir(parents=True)
        try:
            yield Tried(case, name, export(Job(case.delta, case.model, out), name))
        except EditcError as error:
            yield Tried(case, name, None, ", ".join(one.code for one in error.diagnostics))


def matrix(rows: Sequence[Tried]) -> Iterator[str]:
    """A row for each format and consumer."""
    yield "| model | delta | format | consumer | matched | error | fused: ulps of matrix | of entry | differing |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in rows:
        head = f"| {row.case.family} | {row.case.says} | {row.format} |"
        if row.made is None:
            yield f"{head} refused: {row.refused} | | | | | |"
            continue
        for trial in row.made.trials:
            if trial.skipped:
                yield f"{head} {trial.consumer}: not tried, {trial.skipped} | | | | | |"
            else:
                read = f"{trial.matched}/{trial.total} | {trial.error:g}"
                yield f"{head} {trial.consumer} | {read} | {' | '.join(_fused(row))} |"
        yield from (f"{head} {one.code}: {one.message} | | | | | |" for one in row.made.failures)


def predictions(rows: Sequence[Tried]) -> Iterator[str]:
    """What the doctor's rules say of each adapter for each program that they are about."""
    from editc.formats.doctor.examine import LOADERS, examine, headline

    yield "| model | delta | format | " + " | ".join(LOADERS) + " |"
    yield "|---" * (len(LOADERS) + 3) + "|"
    for row in rows:
        if row.made is None or row.format == "checkpoint":
            continue
        file = row.made.written.files[0]
        try:
            found = examine(file.parent if row.format == "peft" else file, row.case.model)
        except EditcError:
            continue
        cells = [_word(headline(one), one.loader in found.meant_for) for one in found.verdicts]
        yield f"| {row.case.family} | {row.case.says} | {row.format} | {' | '.join(cells)} |"


def _word(says: str, meant: bool) -> str:
    """A verdict without the loader's own words on refusing; bold for a loader that the file is for."""
    short = says.partition(":")[0].replace("|", "\\|")
    return f"**{short}**" if meant else short


def _fused(row: Tried) -> tuple[str, str, str]:
    """Of the weights that a program ends up with in float32: the largest difference from `editc apply` of the same
    file, in units of the matrix's largest entry and of the entry itself, and the share of entries that differ."""
    if row.format not in FUSED or row.made is None:
        return "", "", ""
    held = _LOADERS[row.format](row) if row.case.family not in ("llama", "gpt2") else _merged(row)
    coarse, fine, differing, total = 0.0, 0.0, 0, 0
    for name, (base, ours) in _ours(row).items():
        off = np.abs(held[name].reshape(ours.shape) - ours)
        size = np.maximum(np.abs(base), np.abs(ours)).astype(np.float32)
        coarse = max(coarse, float(off.max() / np.spacing(size.max())))
        fine = max(fine, float((off / np.spacing(size)).max()))
        differing, total = differing + np.count_nonzero(off), total + off.size
    return f"{coarse:.2g}", f"{fine:.2g}", f"{differing / total:.0%}"


def _ours(row: Tried) -> Mapping[str, tuple[Any, Any]]:
    """By tensor the base in float32, as stored, and what apply makes of it in float32."""
    assert row.made is not None
    found = {}
    for target in plan_apply([row.made.written.delta], row.case.model).targets:
        site = target.record.site
        stored = row.case.model.component(site.component).read(site.name).reshape(stored_shape(site))
        result = patch_site(stored.T if site.transposed else stored, target.factors, target.k)
        found[site.name] = stored, dtypes.round_to(result.T if site.transposed else result, "F32")
    return found


def _from_file(row: Tried) -> Mapping[str, Any]:
    """A pipeline with the adapter loaded and fused by diffusers."""
    import diffusers
    import torch

    assert row.made is not None
    pipeline = diffusers.DiffusionPipeline.from_pretrained(row.case.model.path, torch_dtype=torch.float32)
    file = row.made.written.files[0]
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    component = row.case.delta.sites[0].site.component
    pipeline.fuse_lora(components=[component])
    return _numbers(getattr(pipeline, component))


def _from_folder(row: Tried) -> Mapping[str, Any]:
    """The component of the edited model; stored in half precision it holds the same numbers in float32."""
    import diffusers
    import torch

    assert row.made is not None
    component = row.case.delta.sites[0].site.component
    if row.case.delta.sites[0].site.dtype != "F32":
        return {name: ours for name, (_, ours) in _ours(row).items()}
    kind = diffusers.DiffusionPipeline.from_pretrained(row.made.written.files[0], torch_dtype=torch.float32)
    return _numbers(getattr(kind, component))


def _merged(row: Tried) -> Mapping[str, Any]:
    """A language model with the adapter merged by PEFT, or the edited model."""
    import peft
    import torch
    import transformers

    assert row.made is not None
    file = row.made.written.files[0]
    place = file if row.format == "checkpoint" else row.case.model.path
    model = transformers.AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    if row.format != "checkpoint":
        model = peft.PeftModel.from_pretrained(model, str(file.parent)).merge_and_unload()
    return _numbers(model)


_LOADERS: Mapping[str, Callable[[Tried], Mapping[str, Any]]] = {
    "kohya": _from_file,
    "diffusers": _from_file,
    "checkpoint": _from_folder,
}


def _numbers(module: Any) -> Mapping[str, Any]:
    return {name.replace(".base_layer", ""): v.detach().double().numpy() for name, v in module.state_dict().items()}


def versions() -> str:
    """The programs that were run."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("diffusers", "peft", "transformers", "torch", "onnxruntime", "gguf"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def tables() -> str:
    """Both tables as one text."""
    from diffusers.utils import logging

    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(place)
        rows = [
            row for i, case in enumerate(cases(folder / "models")) for row in tried(case, folder / "exports" / str(i))
        ]
        first = [f"Run with {versions()}.", "", *matrix(rows)]
        return "\n".join([*first, "", "### What the rules say of the same files", "", *predictions(rows)])


def main() -> None:
    """Print the tables, or put them between the marks of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/measurements/interop.md")
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    text = tables()
    if not given.write:
        print(text)
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(FROM)
    after = rest.partition(TO)[2]
    PAGE.write_text(f"{before}{FROM}\n{text}\n{TO}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
