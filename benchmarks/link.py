"""Concepts erased by one build, and by two finished deltas that are linked: `python -m benchmarks.link`.

Every row is measured on the problem of the joint manifest: its keys, its targets and the prompts that it keeps. `off`
is |dW - dW_joint| / |dW_joint| over all sites.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np

from editc import api
from editc.core.delta import Array, Delta
from editc.core.solution import Verified
from editc.formats.delta.container import read_delta
from editc.formats.delta.parts import parts
from editc.formats.models.model import open_model
from editc.manifests.decode import decode_file
from editc.opening.default_list import default_prompts
from editc.passes.images.keys.derive import Derive
from editc.passes.images.locate.locate import Locate
from editc.passes.images.verify.verify import Verify
from editc.passes.stored import stored_weight
from editc.verbs import open
from editc.verbs.recheck import recorded_plan, solution_of_part

HEAD = "editc: 1\nmodel: editc:demo\nedits:\n"
EDIT = "  - {{erase: {}, to: {}, method: {}}}\n"
Edits: TypeAlias = tuple[tuple[str, str], ...]
IMAGES = "verify:\n  images: {{detector: editc:demo, guidance: 3, prompts_per_concept: {}}}\n"
PAIRS: tuple[tuple[Edits, Edits], ...] = (
    ((("circle", "square"),), (("star", "heart"),)),
    ((("circle", "square"),), (("ring", "triangle"),)),
    (
        (("circle", "heart"), ("star", "arrow"), ("tree", "triangle"), ("fish", "arrow"), ("house", "triangle")),
        (("sword", "person"), ("bomb", "triangle"), ("boat", "diamond"), ("cross", "ring"), ("moon", "diamond")),
    ),
)
"""Two concepts far from each other, two near to each other, and the ten of `benchmarks.ten`, five and five."""
COLUMNS = ("erase_residual", "preserve_drift", "unconditional_drift", "recoverable", "erased", "kept_loss")


def built(folder: Path, name: str, edits: Edits, method: str, model: str = "") -> Path:
    """A delta without pictures."""
    text = HEAD.replace("editc:demo", model or "editc:demo") + "".join(EDIT.format(*edit, method) for edit in edits)
    (folder / f"{name}.yaml").write_text(text)
    made = api.build(folder / f"{name}.yaml", folder / name)
    assert made is not None and made.delta is not None
    return made.files[0]


def ways(folder: Path, first: Edits, second: Edits, method: str) -> dict[str, Path]:
    """The deltas to compare, all for the same base."""
    a, b = built(folder, "a", first, method), built(folder, "b", second, method)
    found = {"one build of both": built(folder, "joint", (*first, *second), method)}
    for name, those, composed in (("linked", (a, b), False), ("a, then b", (a, b), True), ("b, then a", (b, a), True)):
        found[name] = folder / f"{name.replace(', ', '-').replace(' ', '-')}.safetensors"
        api.link(those, found[name], "editc:demo", composed)
    api.apply([a], "editc:demo", out=folder / "edited")
    after = built(folder, "after", second, method, "edited")
    found["b built on the model with a"] = folder / "chained.safetensors"
    api.link([a, after], found["b built on the model with a"], "editc:demo", composed=True)
    return {"a alone": a, **found}


def measured(folder: Path, delta: Delta, prompts: int) -> Verified:
    """`delta` on the problem of the joint manifest, with pictures where `prompts` is above 0."""
    text = (folder / "joint.yaml").read_text() + (IMAGES.format(prompts) if prompts else "")
    (folder / "judge.yaml").write_text(text)
    manifest, _ = decode_file(folder / "judge.yaml", ())
    assert manifest is not None
    model = open_model("editc:demo")
    opened = open.open_decoded(manifest, model)
    ctx = opened.kind.open_ports(opened, None)
    problem = Derive(default_prompts(model, manifest, ctx))(Locate()(manifest, ctx), ctx)
    joint = parts(read_delta(folder / "joint" / api.DELTA))[0]
    assert recorded_plan(joint, manifest, model.place).sites == problem.plan.sites
    return Verify()(solution_of_part(joint, delta, problem), ctx)


def changes(verified: Verified) -> Array:
    """dW of every site, one after the other."""
    solution, found = verified.solution, []
    for group, edit in solution.edits.items():
        sites = [site for site in solution.problem.plan.sites if site.group == group]
        for k, (site, W) in enumerate(zip(sites, solution.problem.systems[group].weights, strict=True)):
            found.append((stored_weight(np.asarray(W), edit, k, site) - W).ravel())
    return np.concatenate(found)


def row(name: str, verified: Verified, joint: Array) -> str:
    """A row of the table: a figure for each concept where they are few, else the mean and the worst."""
    cells = [f"{np.linalg.norm(changes(verified) - joint) / np.linalg.norm(joint):.3f}"]
    for column in COLUMNS:
        values = [claim.value for claim in verified.report.claims if claim.name == column]
        few = values if len(values) < 3 else [float(np.mean(values)), max(values)]
        cells.append(" / ".join(f"{value:.3f}" for value in few))
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """The table of one method, for each pair of concepts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="uce")
    parser.add_argument("--prompts", type=int, default=0)
    parser.add_argument("--pair", type=int, choices=range(len(PAIRS)), default=0)
    asked = parser.parse_args()
    first, second = PAIRS[asked.pair]
    told = [", ".join(f"{concept} to {to}" for concept, to in edits) for edits in (first, second)]
    print(f"\na: {told[0]}; b: {told[1]}; {asked.method}\n")
    print(f"| way | off | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 2)}")
    with TemporaryDirectory() as name:
        folder = Path(name)
        found = ways(folder, first, second, asked.method)
        joint = changes(measured(folder, read_delta(found["one build of both"]), 0))
        for way, path in found.items():
            print(row(way, measured(folder, read_delta(path), asked.prompts), joint), flush=True)


if __name__ == "__main__":
    main()
