"""The lock covers all that an install brings, within the bounds, and everything that installs uses it."""

from __future__ import annotations

import tomllib
from importlib import metadata
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from places import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "constraints.txt").read_text(encoding="utf-8")
CUDA = ("nvidia-", "cuda-", "triton")
PYTHONS = ("3.11.7", "3.12.1", "3.13.0")
CPYTHON = {"platform_python_implementation": "CPython", "extra": ""}
SYSTEMS = (
    {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
)


ENVIRONMENTS = [
    {**system, "python_full_version": python, "python_version": python.rpartition(".")[0], **CPYTHON}
    for python in PYTHONS
    for system in SYSTEMS
]


def locked(environment: dict[str, str]) -> dict[str, str]:
    """Name and version that the lock gives each package there; no name has two."""
    found: dict[str, str] = {}
    for line in LOCK.splitlines():
        if text := line.partition("#")[0].strip():
            pin = Requirement(text)
            if pin.marker is None or pin.marker.evaluate(environment):
                assert canonicalize_name(pin.name) not in found
                (one,) = pin.specifier
                assert one.operator == "==" and not Version(one.version).local and not pin.url and not pin.extras
                found[canonicalize_name(pin.name)] = one.version
    return found


def required() -> list[Requirement]:
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values(), PROJECT["build-system"]["requires"]]
    return [Requirement(text) for group in groups for text in group]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda one: one["python_version"] + one["sys_platform"])
def test_every_requirement_is_pinned_within_its_bounds(environment: dict[str, str]) -> None:
    pins = locked(environment)
    for wanted in required():
        if wanted.name != "editc":
            assert pins[canonicalize_name(wanted.name)] in wanted.specifier, wanted


def test_every_requirement_has_a_lowest_version() -> None:
    for wanted in required():
        assert wanted.name == "editc" or {one.operator for one in wanted.specifier} & {">=", "=="}, wanted


def test_what_the_installed_packages_need_is_pinned_too() -> None:
    """Transitively, as their own metadata says: as far as what is installed is what the lock says."""
    here = {name: str(value) for name, value in default_environment().items()}
    pins = locked({**here, "extra": ""})
    waiting, seen = [(name, "") for name in pins], set[tuple[str, str]]()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen or _installed(name) != Version(pins[name]):
            continue
        seen.add((name, extra))
        for text in metadata.requires(name) or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({**here, "extra": extra}):
                other = canonicalize_name(wanted.name)
                assert other in pins or other.startswith(CUDA), f"{name} needs {wanted}"
                waiting += [(other, one) for one in ("", *wanted.extras) if other in pins]
    assert seen, "nothing that the lock names is installed in its version"


def _installed(name: str) -> Version | None:
    try:
        found = Version(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None
    return Version(found.public)


def test_the_lock_names_no_place_and_no_cuda() -> None:
    """It is valid wherever pip is pointed, and a CPU build brings none of those."""
    pins = [line.partition("#")[0] for line in LOCK.splitlines()]
    assert not [line for line in pins if line.startswith(("-", *CUDA)) or "+" in line or "@" in line]
    assert "://" not in LOCK and "make lock" in LOCK.splitlines()[1]


def test_setuptools_has_one_version() -> None:
    """It builds editc apart from what is installed, where no constraints file reaches."""
    (builder,) = PROJECT["build-system"]["requires"]
    assert builder in PROJECT["project"]["optional-dependencies"]["test"]
    assert all(f"setuptools=={locked(one)['setuptools']}" == builder for one in ENVIRONMENTS)


def test_all_that_installs_uses_the_lock() -> None:
    """Each command of README, docs, code pages, helps and Makefile but those that install a thing of their own."""
    alone = ("--no-deps", "uv==", "versions.txt")
    texts = [ROOT / "README.md", ROOT / "Makefile", *ROOT.glob("docs/**/*.md"), *ROOT.glob("editc/codes/*.md")]
    texts += [path for top in ("editc", "formats", "passes", "manifests") for path in (ROOT / top).rglob("*.py")]
    lines = [line for path in texts for line in path.read_text(encoding="utf-8").splitlines() if "pip install" in line]
    assert len(lines) > 8
    for line in lines:
        assert "-c constraints.txt" in line or any(word in line for word in alone), line


def test_demo_tests_and_ci_install_by_the_lock() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "$(VENV)/.installed: pyproject.toml constraints.txt" in makefile
    for target in ("demo", "lint", "types", "tests", "model"):
        assert f"\n{target}: install" in makefile
    assert "exec make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
