"""The page "How do I publish a delta?": its commands run, in their order, against servers of the test."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from command import editc
from hub_server import running_hub
from loopback import running
from oci_registry import Registry
from places import DOCS
from publish_cases import signed_build
from signing_cases import BASE

PAGE = DOCS / "how-to" / "publish-a-delta.md"


def commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ editc ")]


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    signed_build(tmp_path)
    shutil.copytree(BASE, "MODEL")
    with running(Registry()) as registry, running_hub(monkeypatch) as hub:
        for line in commands():
            words = shlex.split(line.replace("registry.example", registry.base))[1:]
            ran = editc(*words)
            assert ran.returncode == 0, f"{line}: {ran.stderr}"
        assert registry.tags["v1"] and hub.repos["owner/circle"] and (tmp_path / "patched").is_dir()
    assert len(commands()) == 7
