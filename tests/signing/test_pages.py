"""The pages about signatures do what they say: commands run, policies are read, every key is there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT
from signing_cases import BASE, built_folder, key_files

from editc.core.places import Source
from editc.manifests.value_kinds import KeyTable
from editc.signing import policy_schema as schema
from editc.signing.policy_file import decode_policy

HOW_TO = (ROOT / "docs/how-to/sign-a-delta.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs/reference/signing.md").read_text(encoding="utf-8")
POLICIES = re.findall(r"```yaml\n(policy: 1\n.*?)```", HOW_TO + REFERENCE, re.DOTALL)
PROGRAMS = {"editc": [sys.executable, "-m", "editc"], "model_signing": [sys.executable, "-m", "model_signing"]}


def commands() -> list[tuple[str, list[str]]]:
    """Every command of the how-to in order, with the lines that the page shows under it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", HOW_TO, re.DOTALL):
        for part in block.removeprefix("$ ").split("\n$ "):
            command, *lines = part.rstrip("\n").split("\n")
            found.append((command, lines))
    return found


def plain(line: str) -> str:
    """A line without what differs from key to key, and from version to version."""
    return re.sub(r"editc [\d.]+", "editc VERSION", re.sub(r"\b[0-9a-f]{64}\b", "HASH", line))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the page makes its keys with openssl")
def test_the_commands_of_the_how_to_run_and_print_what_it_shows(tmp_path: Path) -> None:
    folder = built_folder(tmp_path)
    shutil.rmtree(folder / "pictures")
    (folder / "pictures.txt").unlink()
    shutil.copytree(BASE, tmp_path / "base")
    (tmp_path / "editc-policy.yaml").write_text(POLICIES[0])
    ran = 0
    for command, lines in commands():
        program, *words = shlex.split(command)
        done = subprocess.run(
            [*PROGRAMS.get(program, [program]), *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        printed = [plain(line) for line in done.stdout.splitlines()]
        missing = [line for line in map(plain, lines) if line not in printed and "sha256" not in line]
        assert not missing, f"{command}: {printed}"
        ran += 1
    assert ran == 8 and (tmp_path / "again").is_dir()


@pytest.mark.parametrize("text", POLICIES)
def test_every_policy_in_a_page_is_sound(tmp_path: Path, text: str) -> None:
    for number, name in enumerate(re.findall(r"file: ([\w./-]+)", text)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(key_files(tmp_path, f"key{number}").shown, tmp_path / name)
    policy, found = decode_policy(Source("policy", text), tmp_path)
    assert policy is not None and not found


@pytest.mark.parametrize("table", [schema.POLICY, schema.KEY, schema.IDENTITY], ids=lambda table: table.name)
def test_the_reference_has_every_key_with_its_meaning(table: KeyTable) -> None:
    assert not [one.name for one in table.fields if f"| `{one.name}` | {one.doc} |" not in REFERENCE]


def test_the_example_of_the_reference_has_every_key() -> None:
    assert not [one.name for one in schema.POLICY.fields if f"\n{one.name}:" not in f"\n{POLICIES[1]}"]
