"""Two builds one after another: the second names the first by its id, and `editc log` shows both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_language as pico
from click.testing import CliRunner

from editc import api
from editc.cli import cli
from editc.core.diagnostics import EditcError
from editc.formats.exports.read import read_delta
from editc.verbs.earlier import find_earlier_edits
from editc.verbs.open import require_manifest

FACT = """\
editc: 1
model: {model}
edits:
  - fact: {{prompt: 'The capital of {subject} is', subject: {subject}, answer: Rome}}
    method: joint
sites: {{layers: [1]}}
constraints: {{bystander_loss: 1}}
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A pico model with one delta in it, and the delta's id."""
    folder = tmp_path_factory.mktemp("ledger")
    model = pico.saved("llama", folder / "model")
    (folder / "first.yaml").write_text(FACT.format(model=model, subject="France"))
    api.build(folder / "first.yaml", folder / "first")
    api.apply([folder / "first" / "delta.safetensors"], str(model), folder / "edited")
    return folder, read_delta(folder / "first" / "delta.safetensors").delta_id


def test_a_delta_is_named_by_its_id_and_asks_the_same_as_by_its_file(edited: tuple[Path, str]) -> None:
    folder, delta_id = edited
    asked = []
    for name in (delta_id[:8], str(folder / "first" / "delta.safetensors")):
        path = folder / "second.yaml"
        path.write_text(FACT.format(model=folder / "edited", subject="Japan") + f"after: ['{name}']\n")
        (found,) = find_earlier_edits(require_manifest(path)).items()
        asked.append((found[0], [[spot.causal_prefix for spot in group] for group in found[1].keys], found[1].asked))
    assert asked[0] == asked[1] and asked[0][0] == delta_id and asked[0][1]


def test_a_later_build_records_its_parents_and_the_log_shows_them(edited: tuple[Path, str]) -> None:
    folder, delta_id = edited
    path = folder / "later.yaml"
    path.write_text(FACT.format(model=folder / "edited", subject="Japan") + f"after: ['{delta_id[:12]}']\n")
    api.build(path, folder / "second")
    second = read_delta(folder / "second" / "delta.safetensors")
    assert second.extra["after"] == [delta_id]
    api.apply([folder / "second" / "delta.safetensors"], str(folder / "edited"), in_place=True)
    shown = CliRunner().invoke(cli, ["log", str(folder / "edited")])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == [
        delta_id[:12],
        second.delta_id[:12],
    ]
    assert f"    built on   {delta_id[:12]}" in lines and "not here" not in shown.output
    assert any("`The capital of Japan`" in line for line in lines)


def test_a_build_says_what_it_leaves_of_every_delta_in_the_model_and_the_log_repeats_it(
    edited: tuple[Path, str], tmp_path: Path
) -> None:
    """The second names the first; the third names the second alone, so that the first is measured and not preserved."""
    folder, first = edited
    model, ids = tmp_path / "model", [first]
    api.apply([folder / "first" / "delta.safetensors"], str(folder / "model"), model)
    for number, subject in enumerate(("Japan", "Germany")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(FACT.format(model=model, subject=subject) + f"after: ['{ids[-1]}']\n")
        api.build(path, tmp_path / str(number))
        report = json.loads((tmp_path / str(number) / "report.json").read_text(encoding="utf-8"))
        assert [one["delta_id"] for one in report["earlier"]] == ids
        assert [one["preserved"] for one in report["earlier"]] == [name == ids[-1] for name in ids]
        assert all(one["facts"] == 1 and one["after"] in (0, 1) and one["moved"] >= 0 for one in report["earlier"])
        assert report["earlier"][0]["edits"] == ["France"]
        page = (tmp_path / str(number) / "report.html").read_text(encoding="utf-8")
        assert 'id="earlier"' in page and "How far this edit moves its outputs" in page
        delta = read_delta(tmp_path / str(number) / "delta.safetensors")
        assert delta.extra["earlier"] == report["earlier"]
        api.apply([tmp_path / str(number) / "delta.safetensors"], str(model), in_place=True)
        ids.append(delta.delta_id)
    shown = CliRunner().invoke(cli, ["log", str(model)]).output
    assert shown.count(f"of {first[:12]}: ") == 2 and shown.count("leaves") == 2 and "not preserved" in shown
    described = json.loads(CliRunner().invoke(cli, ["log", str(model), "--json"]).output)
    assert described["deltas"][2]["earlier"] == report["earlier"]
    plain = json.loads((folder / "first" / "report.json").read_text(encoding="utf-8"))
    assert "earlier" not in plain and "earlier" not in read_delta(folder / "first" / "delta.safetensors").extra


def test_an_id_that_the_journal_does_not_name_is_refused_with_its_place(edited: tuple[Path, str]) -> None:
    folder, _ = edited
    path = folder / "wrong.yaml"
    path.write_text(FACT.format(model=folder / "edited", subject="Japan") + "after: ['00000000']\n")
    with pytest.raises(EditcError) as wrong:
        find_earlier_edits(require_manifest(path))
    (found,) = wrong.value.diagnostics
    assert found.code == "E213" and found.span is not None and "editc log" in (found.help or "")
