"""How far weights are from the demo model's, and what `apply --allow-finetune` makes of them.

`python -m benchmarks.fingerprints [--write docs/explanation/fingerprints.md]`. Every row is a model: casts and
quantised copies, the edit itself, fine-tunes of several lengths and rates, merges, and weights that are none of that.
The true distance is |W' - W| / |W| over all cross-attention K and V, the estimate is the plan's, from the sketches in
the delta.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.finetune import walk
from editc.core.delta import Array, Delta, Factors, Site
from editc.core.diagnostics import EditcError
from editc.core.site_bytes import patch_site, site_record
from editc.demo import MODEL
from editc.formats.apply import finetune
from editc.formats.apply.plan import plan_apply
from editc.formats.containers.safetensors_write import file_bytes
from editc.formats.delta.container import with_delta_id
from editc.formats.models.fingerprint import encoder_fingerprint
from editc.formats.models.model import open_model
from editc.numerics.bits import dtypes

FILE = Path("unet") / "diffusion_pytorch_model.safetensors"
RATES = {3e-3: (10, 40), 1e-5: (40,), 2e-4: (10, 40), 1e-3: (10, 40)}
"""Learning rates, and the steps after which each fine-tune is looked at."""
BATCH, PICTURES = 8, 300
"""Small: with Adam the distance comes from the rate and the number of steps, and hardly from the pictures."""
MARKS = "<!-- figures -->", "<!-- end of figures -->"
Weights = Mapping[str, Array]


def base() -> dict[str, Array]:
    """The demo model's cross-attention K and V as float32 weights: to their half-precision values digits are added
    that a cast to float16 takes away again."""
    weights, rng = open_model(MODEL).component("unet"), np.random.default_rng(7)
    names = [name for name in weights.names() if re.search(r"\.attn2\.to_[kv]\.weight$", name)]
    half = {name: weights.read(name) for name in names}
    return {name: dtypes.round_to(W * (1 + rng.uniform(-1, 1, W.shape) * 2.0**-12), "F32") for name, W in half.items()}


def delta_of(W: Weights, dtype: str, rank: int = 4) -> Delta:
    """A shared edit of some percent along random directions; what it does to a picture is of no account here."""
    rng, model = np.random.default_rng(0), open_model(MODEL)
    width = next(iter(W.values())).shape[1]
    left = 0.007 * rng.normal(size=(width, rank)).astype(np.float32)
    right = rng.normal(size=(rank, width)).astype(np.float32) / np.float32(np.sqrt(rank))
    factors = Factors("shared", tuple(range(len(W))), (left,), (right,))
    sites = [Site("unet", n, (w.shape[0], w.shape[1]), dtype, "k" if "to_k" in n else "v") for n, w in W.items()]
    records = tuple(site_record(site, W[site.name], factors, k) for k, site in enumerate(sites))
    return with_delta_id(
        Delta("sd1", records, {"text": factors}, encoder_fingerprint(model), "", "", (), (), "benchmark")
    )


def int8(W: Array) -> Array:
    """Symmetric, one scale a row, as common quantisers do it."""
    scale = np.abs(W).max(1, keepdims=True) / 127
    return np.asarray(np.round(W / scale) * scale)


def fp8(W: Array) -> Array:
    """float8 e4m3, one scale a tensor."""
    scale = np.abs(W).max() / 448
    return np.asarray(torch.tensor(W / scale).to(torch.float8_e4m3fn).double().numpy() * scale)


def copies(W: Weights, delta: Delta) -> Iterator[tuple[str, str, Weights]]:
    """(name, dtype, weights): the same model in other clothes, and small changes of it."""
    yield "the base", "F32", W
    for dtype in ("F16", "BF16"):
        yield f"cast to {dtype}", dtype, W
        yield f"cast to {dtype}, widened to F32", "F32", {n: dtypes.round_to(w, dtype) for n, w in W.items()}
    yield "int8 a row, and back to F16", "F16", {n: int8(w) for n, w in W.items()}
    yield "fp8 e4m3, and back to F16", "F16", {n: fp8(w) for n, w in W.items()}
    factors = delta.factors["text"]
    yield "the edit itself", "F32", {n: patch_site(w, factors, 0) for n, w in W.items()}
    rng = np.random.default_rng(4)
    for share in (0.03, 0.1):
        yield f"a random LoRA of rank 4, {share:.0%}", "F16", {n: w + lora(w, share, rng) for n, w in W.items()}


def lora(W: Array, share: float, rng: np.random.Generator) -> Array:
    """A change of rank 4 with that share of the norm of `W`."""
    change = rng.normal(size=(W.shape[0], 4)) @ rng.normal(size=(4, W.shape[1]))
    return np.asarray(change * share * np.linalg.norm(W) / np.linalg.norm(change))


def tuned(W: Weights) -> Iterator[tuple[str, str, Weights]]:
    """Fine-tunes of the whole UNet, and merges of the last two."""
    last: list[Weights] = []
    for rate, steps in RATES.items():
        for step, state in walk(steps, BATCH, rate, count=PICTURES):
            found = {n: state[n].double().numpy() for n in W}
            yield f"fine-tune, rate {rate:g}, {step} steps", "F16", found
        last.append(found)
    yield "half the base, half the last", "F16", {n: (W[n] + last[-1][n]) / 2 for n in W}
    yield "half of each of the last two", "F16", {n: (last[-2][n] + last[-1][n]) / 2 for n in W}


def strangers(W: Weights) -> Iterator[tuple[str, str, Weights]]:
    """Weights that are not from this training."""
    from diffusers import UNet2DConditionModel

    for seed in (1, 2):
        torch.manual_seed(seed)
        fresh = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(MODEL / "unet")).state_dict()
        yield f"random initialisation, seed {seed}", "F16", {n: fresh[n].double().numpy() for n in W}
    rng = np.random.default_rng(5)
    yield "another block's trained tensors", "F16", {n: W[partner(n, W)] for n in W}
    yield "rows in another order", "F16", {n: w[rng.permutation(len(w))] for n, w in W.items()}
    yield "one tensor of another block", "F16", {n: W[partner(n, W)] if n == next(iter(W)) else W[n] for n in W}


def partner(name: str, W: Weights) -> str:
    """The next tensor of the same shape, round in a circle."""
    alike = [other for other in W if W[other].shape == W[name].shape]
    return alike[(alike.index(name) + 1) % len(alike)]


def judged(delta: Delta, W: Weights, dtype: str, found: Weights, folder: Path) -> str:
    """One row of the table."""
    place = folder / "m"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(MODEL, place)
    write(place / FILE, found, dtype)
    stored = {n: dtypes.round_to(w, dtype) for n, w in found.items()}
    true = {n: float(np.linalg.norm(stored[n] - W[n]) / np.linalg.norm(W[n])) for n in W}
    size = np.linalg.norm(np.concatenate([w.ravel() for w in W.values()]))
    whole = float(np.sqrt(sum(np.sum((stored[n] - W[n]) ** 2) for n in W)) / size)
    raws = [(r, finetune.distance(r, dtypes.encode(found[r.site.name], dtype), dtype)) for r in delta.sites]
    estimate, worst = finetune.joint_distance(raws), max(far for _, far in raws)
    try:
        plan = plan_apply([delta], open_model(place), allow_finetune=True)
        tier: str = "already" if plan.status == "already" else plan.tier
    except EditcError as error:
        tier = error.diagnostics[0].code
    return f"{whole:.5f} | {estimate:.5f} | {max(true.values()):.5f} | {worst:.5f} | {tier} |"


def write(path: Path, found: Weights, dtype: str) -> None:
    """A UNet file with these K and V, the other tensors as they are."""
    weights = open_model(MODEL).component("unet")
    parts: dict[str, Any] = {n: (weights.dtype(n), weights.shape(n), weights.raw(n)) for n in weights.names()}
    parts |= {n: (dtype, w.shape, dtypes.encode(w, dtype)) for n, w in found.items()}
    path.write_bytes(file_bytes(parts, {"format": "pt"}))


def table() -> Iterator[str]:
    """The lines of the table, each when it is known."""
    W = base()
    delta = delta_of(W, "F32")
    yield "| weights | distance | estimate | farthest tensor | estimate | tier |"
    yield "|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as temporary:
        for rows in (copies(W, delta), tuned(W), strangers(W)):
            for name, dtype, found in rows:
                yield f"| {name} | {judged(delta, W, dtype, found, Path(temporary))}"


def main() -> None:
    """Print the table as Markdown, or put it between the marks of a page."""
    parser = argparse.ArgumentParser(description="Distances from the demo model and the tiers they get.")
    parser.add_argument("--write", type=Path, default=None, help="page that receives the table")
    given = parser.parse_args()
    lines = []
    for line in table():
        print(line, flush=True)
        lines.append(line)
    if given.write:
        before, rest = given.write.read_text().split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        given.write.write_text(f"{before}{MARKS[0]}\n\n" + "\n".join(lines) + f"\n\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
