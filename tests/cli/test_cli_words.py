"""What the command line says: every word that a build prints is explained, and a summary is whole."""

from __future__ import annotations

import ast
import json
import re
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from places import ROOT

from editc.cli import cli
from editc.cli.export import onnx
from editc.cli.show import output
from editc.cli.terminal import print_answer, wants_colour
from editc.core.measurements import Claim
from editc.core.places import Source
from editc.core.text import count
from editc.manifests.decode import decode
from editc.registry.detectors import DETECTORS
from editc.registry.families import FAMILIES
from editc.registry.formats import FORMATS
from editc.registry.methods import METHODS
from editc.report import terms
from editc.report.words import TITLES
from editc.verbs.explain import explain


def claimed() -> set[str]:
    """The name of every claim that a pass makes."""
    calls = (
        node
        for path in (ROOT / "passes").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Claim" and node.args
    )
    return {str(call.args[0].value) for call in calls if isinstance(call.args[0], ast.Constant)}


def test_every_measurement_that_a_build_prints_is_explained() -> None:
    assert len(claimed()) > 20 and not claimed() - set(TITLES)
    for name in claimed():
        assert explain(name).startswith(f"measurement {name}: ")


@pytest.mark.parametrize("name", terms.all_words())
def test_every_word_says_something(name: str) -> None:
    assert len(explain(name.upper()).split()) > 8


def test_a_bound_is_named_where_it_stands() -> None:
    assert "constraints.recoverable (maximum)" in explain("recoverable")
    assert "constraints.efficacy (minimum)" in explain("efficacy")
    assert "verify.images.erased_at_most (maximum)" in explain("erased")
    assert "a manifest cannot bound it" in explain("condition")


def test_no_word_hides_a_method_a_family_or_a_format() -> None:
    names = {name for table in (METHODS, FAMILIES, FORMATS, DETECTORS) for name in table.names()}
    assert not names & set(terms.all_words())


def test_explain_has_json() -> None:
    found = json.loads(CliRunner().invoke(cli, ["explain", "--json", "recoverable"]).stdout)
    assert found == {"status": "done", "name": "recoverable", "text": explain("recoverable")}


def every_command() -> dict[str, click.Command]:
    """The commands by their names, those too that are imported when they are asked for."""
    context = click.Context(cli)
    return {name: one for name in cli.list_commands(context) if (one := cli.get_command(context, name)) is not None}


def test_every_command_takes_json() -> None:
    for name, command in every_command().items():
        every = command.commands.values() if isinstance(command, click.Group) else [command]
        assert all("--json" in option.opts for one in every for option in one.params if option.name == "json_"), name
        assert all(any(option.name == "json_" for option in one.params) for one in every), name


@pytest.mark.parametrize("group", [cli, onnx], ids=["editc", "onnx"])
def test_a_summary_is_not_cut(group: click.Command) -> None:
    said = CliRunner().invoke(group, ["--help"], terminal_width=80).output
    assert "Commands:" in said and "..." not in said.split("Commands:")[1]


@pytest.mark.parametrize(
    ("env", "terminal", "coloured"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"NO_COLOR": "", "FORCE_COLOR": ""}, True, True),
    ],
)
def test_colours_are_for_terminals_and_who_asks(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], terminal: bool, coloured: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(SimpleNamespace(isatty=lambda: terminal)) is coloured  # type: ignore[arg-type]


def test_results_and_states_are_coloured_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    claims = Claim("rank", 9, 4), Claim("erase_residual", 0.1, 0.2, "we met, NOT MET")
    text = "\n".join(
        [*output.claim_lines(claims), "", "Works?   green  red roses", "Costs?   amber  x", "Robust?  red    y"]
    )
    print_answer(output.Output(text, colours=output.claim_colours()), (), False)
    said = capsys.readouterr().out
    for word, code in (("NOT MET", 31), ("met", 32), ("green", 32), ("amber", 33), ("red", 31)):
        assert said.count(f"\x1b[{code}m{word}\x1b[0m") == 1, word
    assert re.sub(r"\x1b\[\d+m", "", said) == text + "\n"


def test_a_number_has_its_word() -> None:
    assert [count(n, "matrix") for n in (0, 1, 2)] == ["0 matrices", "1 matrix", "2 matrices"]
    assert count(1, "target tensor") == "1 target tensor" and count(1234, "target tensor") == "1,234 target tensors"


def test_an_item_of_a_list_is_named_by_its_number() -> None:
    for key, dotted in (("edits[0].to", "edits.0.to"), ("edits[12]", "edits.12"), ("a[1][2].b", "a.1.2.b")):
        source = Source("m.yaml", "editc: 1\nmodel: editc:demo\nedits: [{erase: circle}]\n", (f"{key}=star",))
        (fault,) = [one for one in decode(source)[1] if one.code == "E116"]
        assert fault.help == f"say `{dotted}`"
