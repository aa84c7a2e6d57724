"""A pico Llama and edits of it, taken through locate, derive and solve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_language as pico
import torch

from editc.backends.networks import CausalNetwork, load
from editc.core.delta import Array
from editc.core.language_problem import LanguageProblem
from editc.core.network import Network
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.solution import Solution
from editc.formats.models.model import open_model
from editc.manifests.decode import decode_file
from editc.opening import target
from editc.passes.language.keys.derive import DeriveLanguage
from editc.passes.language.locate.locate import LocateLanguage
from editc.passes.language.solve.solve import SolveLanguage
from editc.passes.stored import edited_sites

FRANCE = "- fact: {prompt: The capital of France is, subject: France, answer: Berlin}"
TOWER = "- fact: {prompt: A tower in the city of Rome is, subject: Rome, answer: list}"
JAPAN = "- redirect: {from: Japan, to: Germany, relations: {'The capital of {} is': Paris}}"
LIST = "- ablate: {concept: lists, present: [a list, the long list], absent: [a page, the next page]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico.saved("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def ports(folder: Path) -> Context:
    return Context(open_model(folder).component("model"), network=load(folder))


@pytest.fixture(scope="module")
def causal(ports: Context) -> CausalNetwork:
    """The model that runs, in one thread, with what training asks of it."""
    torch.set_num_threads(1)
    assert isinstance(ports.network, CausalNetwork)
    return ports.network


def manifest(folder: Path, path: Path, edits: Sequence[str], rest: str = "") -> Any:
    """`edits` as lines: an item, or an option of the item before it."""
    lines = "\n".join(edit if edit.startswith(" ") else f"  {edit}" for edit in edits)
    path.write_text(f"editc: 1\nmodel: {folder}\nedits:\n{lines}\n{rest}")
    found, faults = decode_file(path)
    assert found is not None, faults
    return found


def located(folder: Path, path: Path, ports: Context, edits: Sequence[str], rest: str = "") -> Plan:
    return LocateLanguage(target.families())(manifest(folder, path, edits, rest), ports)


def solved(folder: Path, path: Path, ports: Context, edits: Sequence[str], rest: str = "") -> Solution:
    plan = located(folder, path / "m.yaml", ports, edits, rest)
    return SolveLanguage()(DeriveLanguage()(plan, ports), ports)


def network(ports: Context) -> Network:
    """The model that runs."""
    assert ports.network is not None
    return ports.network


def run_with(solution: Solution, ports: Context) -> Mapping[str, Array]:
    return {one.site.name: one.after for one in edited_sites(solution, ports.weights)}


def columns(solution: Solution) -> Any:
    assert isinstance(solution.problem, LanguageProblem)
    return solution.problem.memory_keys
