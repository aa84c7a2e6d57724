"""The package `editc-toy` of tests/fixtures, whose files docs/how-to/add-a-*.md print, and where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from places import ROOT

SOURCE = ROOT / "tests" / "fixtures" / "editc-toy"
INFO = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


def fresh_environment(folder: Path) -> Path:
    """A virtual environment that sees what this one has installed, with editc-toy in it; gives its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    here = sysconfig.get_paths()["purelib"]
    (site / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    copy = shutil.copytree(SOURCE, folder / "editc-toy")  # pip builds in place
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *install, "--target", str(site), str(copy)], check=True)
    return python


def put_beside(folder: Path, name: str, entry_points: str) -> None:
    """A package in `folder` as an installer leaves it: its name and its entry points, and no module."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(INFO.format(name=name))
    (info / "entry_points.txt").write_text(entry_points)


def pretend_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process see the whole package as if it were installed in `folder`."""
    doors = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\n{name} = {place}\n" for group, one in doors.items() for name, place in one.items()]
    put_beside(folder, "editc-toy", "".join(lines))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(SOURCE))
