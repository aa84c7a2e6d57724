"""What builds make, as digests that must not change: `python -m benchmarks.yardstick make|run|compare`.

`make FOLDER` writes pico models of every family, and manifests for them, once. `run FOLDER RESULT.json` checks and
builds every example and every one of those manifests (SmolLM2's too, where it is there), verifies each delta, and
writes the digest of each delta, report and page, and of everything said. `compare A.json B.json` names what differs;
exit 1 if anything does. A rebuilding of the code is right when nothing does.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Any

import smollm2

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "manifests" / "examples"
QUICK = ("verify.images.steps=2", "verify.images.prompts_per_concept=2", "verify.images.bystanders.pictures=1")
TIMES = re.compile(r"\d+\.\d+ ?s\b|\d+ ms\b|\b\d+:\d\d\b.*")
SIZES = re.compile(r"\([\d,]+ bytes\)")
"""A report's size hangs on the length of the path that it names; its digest does not."""
PAGES = re.compile(rb"\bdocs/(?:[\w-]+/)+")
"""A page of the documentation may move; that a text names it may not change."""
IMAGE = """\
editc: 1
model: {model}
edits:
  - {{erase: circle, to: square, method: {method}, keys: {keys}{more}}}
preserve: {{concepts: [star], prompts: ["a red heart"]}}
"""
LANGUAGE = """\
editc: 1
model: {model}
edits:
  - {{{edit}, method: {method}{more}}}
sites: {{layers: [{layers}]}}
constraints: {{bystander_loss: 1}}
"""
FACT = "fact: {prompt: The capital of France is, subject: France, answer: Rome}"
IMAGE_CASES = (
    *((method, "aligned", "") for method in ("uce", "rece", "speed", "project", "guard", "realera")),
    *(("uce", keys, "") for keys in ("matched", "eot", "last", "span")),
    ("mace", "span", ""),
    ("trce", "eot", ""),
    ("uce", "aligned", ", strength: auto"),
)
LANGUAGE_CASES = (
    *((method, FACT, "1", "") for method in ("rome", "emmet")),
    *((method, FACT, "0, 1", ", lamb: 0.1") for method in ("memit", "alphaedit")),
    ("transplant", FACT, "0, 1", ""),
    ("rocr", "redirect: France, to: Japan, prompts: [The capital of France is]", "1", ""),
    ("ablate", "erase: France", "1", ""),
    ("leace", "erase: France", "1", ""),
    ("concept-vectors", "erase: France", "1", ""),
)
SMOLLM2 = ("fact", "erase", "redirect")


def make(folder: Path) -> None:
    """The pico models, and a manifest for each family, method and key rule; some are refused, which is kept too."""
    import tiny
    import tiny_families
    import tiny_language

    models = folder / "models"
    tiny.pipeline_folder(models / "sd1")
    tiny.pipeline_folder(models / "sd2", linear=True)
    for family in tiny_families.FAMILIES:
        tiny_families.saved(family, models / family)
    for kind in tiny_language.KINDS:
        tiny_language.saved(kind, models / kind)
    for path in sorted(models.iterdir()):
        text = (
            LANGUAGE.format(model=path, edit=FACT, method="rome", layers=1, more="")
            if path.name in tiny_language.KINDS
            else IMAGE.format(model=path, method="uce", keys="aligned", more="")
        )
        (folder / f"family-{path.name}.yaml").write_text(text)
    for index, (method, keys, more) in enumerate(IMAGE_CASES):
        text = IMAGE.format(model=models / "sd1", method=method, keys=keys, more=more)
        (folder / f"image-{index:02}-{method}.yaml").write_text(text)
    for method, edit, layers, more in LANGUAGE_CASES:
        text = LANGUAGE.format(model=models / "llama", edit=edit, method=method, layers=layers, more=more)
        (folder / f"language-{method}.yaml").write_text(text)


def manifests(folder: Path) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Name, manifest and overrides of every case."""
    for path in sorted(EXAMPLES.glob("*.yaml")):
        yield f"example-{path.stem}", path, QUICK if "verify:" in path.read_text() else ()
    for path in sorted(folder.glob("*.yaml")):
        yield path.stem, path, ()
    if smollm2.present():
        for name in SMOLLM2:
            yield f"smollm2-{name}", EXAMPLES / "language" / f"{name}.yaml", (f"model={smollm2.folder()}",)


def said(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and everything that a command says, without times, without where this checkout is, and without
    progress, which is drawn as time goes by."""
    from click.testing import CliRunner

    from editc.cli import cli

    ran = CliRunner().invoke(cli, list(arguments))
    text = ran.output.replace(str(ROOT), "ROOT").replace(str(folder), "WORK")
    lines = SIZES.sub("SIZE", TIMES.sub("TIME", text)).splitlines()
    return ran.exit_code, "\n".join(line for line in lines if not line.endswith(" TIME"))


def measure(folder: Path, name: str, path: Path, sets: tuple[str, ...]) -> Mapping[str, Any]:
    """The digests of one case."""
    out, given = folder / "out" / name, [part for one in sets for part in ("--set", one)]
    steps = {"check": said(folder, "check", str(path), *given)}
    steps["build"] = said(folder, "build", str(path), "-o", str(out), *given)
    delta = out / "delta.safetensors"
    found: dict[str, Any] = {}
    if delta.is_file():
        model = str(json.loads((out / "report.json").read_text())["model"])
        steps["verify"] = said(folder, "verify", str(delta), "--model", model)
        steps["inspect"] = said(folder, "inspect", str(delta))
        found["delta_id"] = json.loads((out / "report.json").read_text())["delta_id"]
    for file in sorted(out.rglob("*")):
        if file.is_file():
            found[str(file.relative_to(out))] = digest(file.read_bytes())
    for step, (code, text) in steps.items():
        (folder / "said").mkdir(exist_ok=True)
        (folder / "said" / f"{name}.{step}.txt").write_text(text)
        found[step] = [code, digest(text.encode())]
    return found


def digest(data: bytes) -> str:
    """The first 16 digits of the SHA-256, wherever this checkout and a page of the documentation are."""
    return sha256(PAGES.sub(b"docs/", data.replace(str(ROOT).encode(), b"ROOT"))).hexdigest()[:16]


def run(folder: Path, result: Path) -> None:
    """Every case, with a cache of its own that begins empty. Sums differ in their last digits with the number of
    threads, so one is asked for, which has to be said before Python begins."""
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("run it with OMP_NUM_THREADS=1")
    os.chdir(ROOT)
    for part in ("cache", "out", "said"):
        rmtree(folder / part, ignore_errors=True)
    os.environ.update(EDITC_CACHE=str(folder / "cache"), HF_HUB_OFFLINE="1")
    found = {}
    for name, path, sets in manifests(folder):
        found[name] = measure(folder, name, path, sets)
        print(
            name,
            {step: found[name][step][0] for step in ("check", "build", "verify") if step in found[name]},
            flush=True,
        )
    result.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def compare(one: Path, other: Path) -> int:
    """1 where anything differs between two results."""
    a, b = (json.loads(path.read_text()) for path in (one, other))
    differing = [
        f"{name}: {key}"
        for name in sorted({*a, *b})
        for key in sorted({*a.get(name, {}), *b.get(name, {})})
        if a.get(name, {}).get(key) != b.get(name, {}).get(key)
    ]
    print("\n".join(differing) or f"{len(a)} cases, {sum(map(len, a.values()))} digests: all the same")
    return int(bool(differing))


if __name__ == "__main__":
    action, *paths = sys.argv[1:]
    actions: Mapping[str, Any] = {"make": make, "run": run, "compare": compare}
    sys.exit(actions[action](*map(Path, paths)))
