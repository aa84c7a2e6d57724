"""The shape of the code: imports point one way, heavy libraries stay inside functions, the wheel holds everything."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from imported import imported

ROOT = Path(__file__).parents[1]
FOLDERS = {"passes": "editc.passes", "formats": "editc.formats", "manifests": "editc.manifests", "editc": "editc"}
LEVELS = (
    (
        "editc.numerics",
        "editc.occurrences",
        "editc.plurals",
        "editc.libraries.foreign",
        "editc.cli.progress",
        "editc.formats.models.prefixes",
        "editc.libraries.extras",
    ),
    ("editc.core.manifest", "editc.core.family", "editc.core.delta"),
    ("editc.core.measurements",),
    ("editc.core.ir", "editc.core.diagnostics", "editc.core.verdict", "editc.judging"),
    (
        "editc.core.network",
        "editc.core.ir_language",
        "editc.core.ports",
        "editc.codes",
        "editc.core.registry",
        "editc.core.pointing",
    ),
    ("editc.libraries.loading", "editc.libraries.pipeline_index", "editc.backends.detectors.kind"),
    ("editc.families", "editc.core.site_bytes", "editc.cli.render", "editc.verbs.paths"),
    ("editc.manifests", "editc.backends.encoders", "editc.cli.dump", "editc.demo"),
    ("editc.backends.painter", "editc.backends.detectors", "editc.backends.denoiser", "editc.backends.networks"),
    ("editc.passes", "editc.formats"),
    (
        "editc.report.bars",
        "editc.report.depth",
        "editc.report.words",
        "editc.report.record_language",
        "editc.report.bystanders",
    ),
    ("editc.report.answers",),
    ("editc.report.page",),
    (
        "editc.backends.cache",
        "editc.verbs.encoder",
        "editc.verbs.detector",
        "editc.verbs.loadable",
        "editc.verbs.unloaded",
    ),
    (
        "editc.report.terms",
        "editc.verbs.explain",
        "editc.verbs.open",
        "editc.verbs.emit",
        "editc.verbs.pipeline",
        "editc.verbs.recheck",
        "editc.report.record",
        "editc.verbs.proposal",
    ),
    (
        "editc.verbs.suggest",
        "editc.verbs.link",
    ),
    ("editc.verbs.results",),
    ("editc.verbs.check",),
    ("editc.api",),
    ("editc.cli.show", "editc.cli.show_language", "editc.cli.show_link", "editc.cli.terminal"),
    ("editc.cli",),
    ("editc.__main__",),
)
HEAVY = ("torch", "transformers", "diffusers", "scipy", "onnx", "jinja2", "PIL", "matplotlib")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def level(module: str) -> int:
    """The level of the longest prefix that LEVELS names; packages' own roots (`editc`) are below everything."""
    best = max(
        ((prefix, i) for i, group in enumerate(LEVELS) for prefix in group if f"{module}.".startswith(f"{prefix}.")),
        key=lambda found: len(found[0]),
        default=None,
    )
    assert best is not None or module == "editc", f"{module} has no level: add it to LEVELS"
    return best[1] if best else 0


def imports(tree: ast.Module, top_only: bool) -> Iterator[str]:
    guarded = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    for node in tree.body if top_only else ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative import"
            if node.module in ("editc", *FOLDERS.values()):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_imports_point_one_way() -> None:
    wrong = []
    for name, tree in modules():
        for target in imports(tree, top_only=False):
            if target.startswith("editc.") and level(target) > level(name):
                wrong.append(f"{name} imports {target}")
    assert not wrong


def test_passes_and_formats_do_not_know_each_other() -> None:
    for name, tree in modules():
        for side, other in (("editc.passes", "editc.formats"), ("editc.formats", "editc.passes")):
            if name.startswith(side):
                assert not [target for target in imports(tree, top_only=False) if target.startswith(other)], name


def test_heavy_libraries_are_imported_inside_functions() -> None:
    for name, tree in modules():
        if not name.startswith("editc.demo"):
            top = [target.split(".")[0] for target in imports(tree, top_only=True)]
            assert not set(top) & set(HEAVY), name


def test_every_file_is_short() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["apply", "tests/fixtures/deltas/v1/shared.safetensors", "--to", "tests/fixtures/deltas/v1/base", "--dry-run"],
        ["explain", "E501"],
        ["inspect", "tests/fixtures/deltas/v1/shared.safetensors"],
        ["doctor", "tests/fixtures/adapters/kohya.safetensors"],
    ],
    ids=lambda a: a[0],
)
def test_commands_without_torch(arguments: list[str]) -> None:
    assert not imported(arguments, ROOT) & set(HEAVY)


def test_the_wheel_holds_the_whole_tree(tmp_path: Path) -> None:
    """A package missing from pyproject's list is silently left out of a wheel."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    expected = set()
    for folder, package in FOLDERS.items():
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".md", ".yaml", ".j2", ".safetensors", ".json", ".txt"}:
                expected.add(f"{package.replace('.', '/')}/{path.relative_to(ROOT / folder)}")
                if path.suffix == ".py":
                    inner = path.relative_to(ROOT / folder).parent.parts
                    assert ".".join([package, *inner]) in listed
    assert packed >= expected
