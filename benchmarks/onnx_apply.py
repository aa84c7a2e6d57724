"""Deltas on exported models: every target found, and ONNX Runtime against torch. `python -m benchmarks.onnx_apply`.

Each model is exported by torch, with the weights in the .onnx file or beside it; a delta over every matrix named is
applied to the .onnx file and to a float32 copy of the safetensors folder; both are run on the same seeded inputs. A
target that is not found would be an error; `moved` shows that the edit does something.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from editc.core.delta import (
    Delta,
    Factors,
    Form,
    Site,
    SiteRecord,
)
from editc.core.site_bytes import patch_site, site_record
from editc.demo import MODEL
from editc.formats.apply.apply import apply, plan_apply
from editc.formats.delta.container import with_delta_id
from editc.formats.models.model import Model, open_model
from editc.numerics.bits import dtypes

EXPORTS = ("dynamo", "dynamo, external data", "legacy")
LIMIT = 1e-5


@dataclass(frozen=True)
class Case:
    """A model: its folder, the component, how to load and wrap it for an export, and its inputs."""

    name: str
    folder: Path
    component: str
    load: Callable[[Path], Any]
    inputs: Callable[[Any], dict[str, Any]]
    targets: Callable[[str], bool]


@dataclass(frozen=True)
class Row:
    """One export: targets found and how many of them are stored transposed; largest differences of the outputs."""

    name: str
    export: str
    total: int
    flipped: int
    base: float
    edited: float
    moved: float
    seconds: float

    @property
    def line(self) -> str:
        """As a line of the table."""
        numbers = f"{self.base:.1e} | {self.edited:.1e} | {self.moved:.2g} | {self.seconds:.2f}"
        return f"| {self.name} | {self.export} | {self.total} of {self.total} | {self.flipped} | {numbers} |"


def cases(folder: Path) -> Iterator[Case]:
    """The pico UNet, the demo UNet, and a pico Llama."""
    import onnx_models as om
    import tiny
    import torch

    tiny.pipeline_folder(folder / "pico", dtype=torch.float32)

    def text(name: str) -> bool:
        return ".attn2.to_k." in name or ".attn2.to_v." in name

    def every(name: str) -> bool:
        return name.endswith("_proj.weight") or name.endswith("lm_head.weight") or ".net." in name or ".attn" in name

    yield Case("pico UNet, cross-attention K and V", folder / "pico", "unet", _unet, om.unet_inputs, text)
    yield Case(
        "pico UNet, every attention and feed-forward matrix", folder / "pico", "unet", _unet, om.unet_inputs, every
    )
    yield Case("demo UNet, cross-attention K and V", MODEL, "unet", _unet, om.unet_inputs, text)
    yield Case("pico Llama, every projection", llama(folder / "llama"), "", _llama, om.llama_inputs, every)


def llama(folder: Path) -> Path:
    """A random Llama of two layers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 100}
    config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def delta_for(model: Model, component: str, chosen: Callable[[str], bool]) -> Delta:
    """A random low-rank delta over every matrix that `chosen` names, as large as a tenth of each."""
    part = model.component(component)
    names = [name for name in part.names() if len(part.shape(name)) == 2 and chosen(name)]
    rng = np.random.default_rng(0)
    factors, records = {}, []
    for k, name in enumerate(names):
        rows, columns = part.shape(name)
        base = part.read(name)
        left, right = rng.normal(size=(rows, 2)), rng.normal(size=(2, columns))
        left *= 0.1 * np.linalg.norm(base) / np.linalg.norm(left @ right)
        one = Factors("low-rank", (k,), (left.astype(np.float32),), (right.astype(np.float32),))
        factors[f"g{k}"] = one
        site = Site(component or part.name, name, (rows, columns), part.dtype(name), "k", f"g{k}")
        records.append(site_record(site, base, replace(one, sites=(0,)), 0))
    return _delta(records, factors)


def measure(case: Case, export: str, folder: Path) -> Row:
    """Export, apply to both, run both."""
    import onnx_models as om

    folder.mkdir()
    model = open_model(case.folder)
    delta = delta_for(model, case.component, case.targets)
    loaded = case.load(case.folder / case.component).float()
    loaded.save_pretrained(folder / "wide" / case.component)
    done = apply(plan_apply([delta], open_model(folder / "wide")), folder / "edited")
    edited = case.load(done.path / case.component)
    inputs = case.inputs(loaded)
    kind = {"legacy": export == "legacy", "external": "external" in export}
    graph = open_model(om.exported(om.wrapped(loaded), inputs, folder / "in" / "model.onnx", **kind))
    (folder / "out").mkdir()
    begun = time.perf_counter()
    plan = plan_apply([delta], graph)
    patched = apply(plan, folder / "out" / "model.onnx")
    seconds = time.perf_counter() - begun
    wanted = [om.torch_output(one, inputs) for one in (loaded, edited)]
    found = [om.run(path, inputs) for path in (graph.path, patched.path)]
    base, after = (float(np.abs(a - b).max()) for a, b in zip(found, wanted, strict=True))
    flipped = sum(target.tensor.flipped for target in plan.targets)
    moved = float(np.abs(wanted[1] - wanted[0]).max())
    return Row(case.name, export, len(plan.targets), flipped, base, after, moved, seconds)


def table(rows: Sequence[Row | str]) -> str:
    """Markdown."""
    head = (
        "| model and sites | export | found | transposed | base: ORT - torch | edited: ORT - torch | moved | apply, s |"
    )
    return "\n".join([head, "|---" * 8 + "|", *(row if isinstance(row, str) else row.line for row in rows)])


def arithmetic(folder: Path) -> Iterator[str]:
    """What ONNX Runtime makes of an `onnx-graph` at the sizes of SD 1.5: the largest difference from editc's results,
    in units in the last place of the largest weight, the share of weights that differ, and the same for float32 in
    numpy."""
    from editc.formats.exports.format import Written
    from editc.formats.exports.onnx.graph import graph_bytes
    from editc.formats.exports.onnx.trials import run_in_onnxruntime
    from editc.formats.exports.onnx.values import EDITED

    yield "| form | rank | shape | differ from editc | largest, ulp | numpy float32: differ | largest, ulp |"
    yield "|---" * 7 + "|"
    rng = np.random.default_rng(0)
    tries: tuple[tuple[Form, int, tuple[int, int]], ...] = (
        ("shared", 4, (1280, 768)),
        ("low-rank", 4, (1280, 768)),
        ("shared", 32, (320, 768)),
    )
    for form, rank, shape in tries:
        base = rng.normal(size=shape, scale=0.05).astype(np.float32)
        left = rng.normal(size=(shape[form == "shared"], rank), scale=0.05).astype(np.float32)
        right = rng.normal(size=(rank, shape[1]), scale=0.05).astype(np.float32)
        factors = Factors(form, (0,), (left,), (right,))
        site = Site("unet", "w", shape, "F32", "k", "g")
        delta = _delta([site_record(site, base.astype(float), factors, 0)], {"g": factors})
        path = folder / f"{form}-{rank}.onnx"
        path.write_bytes(graph_bytes(delta))
        exact = dtypes.round_to(patch_site(base.astype(float), factors, 0), "F32").astype(np.float32)
        ours = run_in_onnxruntime(Written((path,), delta), {"w": (base.astype(float), "F32")})["w" + EDITED]
        plain = base + (base @ left if form == "shared" else left) @ right
        cells = []
        for found in (ours.astype(np.float32), plain):
            steps = np.abs(found - exact) / np.spacing(np.abs(exact).max())
            cells += [f"{(steps > 0).mean():.1%}", f"{steps.max():.2g}"]
        yield f"| {form} | {rank} | {shape[0]} x {shape[1]} | {' | '.join(cells)} |"


def main() -> int:
    """Print the table; 1 if an output differs by more than the limit, or the edit does nothing."""
    parser = argparse.ArgumentParser(description="Apply deltas to exported models and compare ONNX Runtime with torch.")
    parser.add_argument("--only", default="", help="models whose name begins so")
    given = parser.parse_args()
    rows: list[Row | str] = []
    with tempfile.TemporaryDirectory() as place:
        for number, case in enumerate(cases(Path(place))):
            for export in EXPORTS if case.name.startswith(given.only) else ():
                try:
                    rows.append(measure(case, export, Path(place) / f"{number}-{export[-6:]}"))
                except Exception as error:  # the legacy exporter does not know every operator; that is a result
                    if export != "legacy":
                        raise
                    why = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
                    rows.append(f"| {case.name} | {export} | does not export: {why} | | | | | |")
        print(table(rows), "", *arithmetic(Path(place)), sep="\n")
    bad = [row for row in rows if isinstance(row, Row) and not (max(row.base, row.edited) <= LIMIT < row.moved)]
    return 1 if bad else 0


def _delta(records: Sequence[SiteRecord], factors: dict[str, Factors]) -> Delta:
    about = {"family": "sd1", "encoder": "", "manifest": "editc: 1\n", "manifest_digest": "0" * 64, "tool": "editc"}
    return with_delta_id(Delta(sites=tuple(records), factors=factors, edits=(), claims=(), **about))  # type: ignore[arg-type]


def _unet(folder: Path) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(folder)


def _llama(folder: Path) -> Any:
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder)


if __name__ == "__main__":
    sys.exit(main())
