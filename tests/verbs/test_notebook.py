"""What the functions return shows itself in a notebook: short, escaped, nothing from elsewhere. And manifests that
are no files."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from report_cases import built
from tiny_files import delta_for, pipeline, refused, sealed

from editc import api
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.measurements import AttackResult, Claim
from editc.formats.delta.container import write_delta
from editc.manifests.dump import manifest_text
from editc.notebook.table import LONGEST, SHOWN, size, table
from editc.verbs import build as building

HOSTILE = "<script src=//x.y/z.js>&'\"\x1b[31m"
TEXT = "editc: 1\nmodel: editc:demo\nedits:\n  - erase: circle\n    to: square\n"
VALUES: Mapping[str, Any] = {"editc": 1, "model": "editc:demo", "edits": [{"erase": "circle", "to": "square"}]}


class Tags(HTMLParser):
    """Counts what is open, and keeps every attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[tuple[str, str | None]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag == "br" else [tag]
        self.attributes |= set(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_sound(shown: str) -> None:
    """It is short, its tags are closed, and nothing of it is run or fetched."""
    tags = Tags()
    tags.feed(shown)
    assert not tags.open and len(shown) < 20_000
    assert {name for name, _ in tags.attributes} <= {"style"} and "url(" not in shown
    assert "<script" not in shown and "\x1b" not in shown


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What each function returns, of a delta whose edits have a hostile name."""
    folder = tmp_path_factory.mktemp("results")
    named = sealed(replace(delta_for(pipeline(folder / "m")), edits=({"kind": "erase", "concept": HOSTILE},)))
    path = folder / "d.safetensors"
    delta = write_delta(named, path)
    plan, done = applied = api.apply(path, folder / "m", out=folder / "out")
    fault = Diagnostic("E501", f"{HOSTILE} is not met", place=HOSTILE, help=HOSTILE)
    verified = built()
    claims = (Claim("brought_back", 0.5, 0.1, HOSTILE),)
    attack = AttackResult("inversion", "rows", HOSTILE, 3, 20, 18, "", 0, {}, 0)
    return {
        "check": api.check(TEXT),
        "check, wrong": api.check(TEXT.replace("circle", f"'{HOSTILE[:-5]}'".replace("'\"", ""))),
        "build": api.Built(verified, delta, (), (), (folder / "report.json",)),
        "build, refused": api.Built(verified, None, (fault,), (), (folder / "report.json",)),
        "apply": applied,
        "plan": plan,
        "applied": done,
        "status": api.status(folder / "out", path),
        "status of nothing": api.status(folder / "m"),
        "inspect": api.inspect(path),
        "inspect a model": api.inspect(folder / "m"),
        "verify": api.Again(delta, "exact", verified, (fault,)),
        "verify, already": api.verify(path, folder / "out"),
        "attack": api.Attacked(delta, "exact", (attack,), claims, (fault,), (fault,), {}),
    }


NAMES = (
    *("check", "check, wrong", "build", "build, refused", "apply", "plan", "applied", "status", "status of nothing"),
    *("inspect", "inspect a model", "verify", "verify, already", "attack"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_result_shows_itself(name: str, results: Mapping[str, Any]) -> None:
    one = results[name]
    assert_sound(one._repr_html_())
    assert len(repr(one)) < 400 and "\n" not in repr(one)


def test_every_result_is_tried(results: Mapping[str, Any]) -> None:
    assert set(results) == {*NAMES}


def test_what_is_shown_is_what_one_asks_first(results: Mapping[str, Any]) -> None:
    shown = {name: one._repr_html_() for name, one in results.items()}
    assert "E501" in shown["build, refused"] and "No delta" in shown["build, refused"] and "E501" not in shown["build"]
    assert "applied" in shown["status"] and "none that is known" in shown["status of nothing"]
    assert "3 of 20" in shown["attack"] and "unedited: 18 of 20" in shown["attack"]
    assert "nothing was measured" in shown["verify, already"] and "NOT" in shown["verify"]
    assert "unet" in shown["inspect a model"] and "&lt;script" in shown["inspect"]
    plan, done = results["apply"]
    assert results["apply"].plan is plan and results["apply"].result is done and done.status == "done"
    assert results["inspect"]["kind"] == "delta" and isinstance(dict(results["inspect"]), dict)


def test_a_table_is_cut() -> None:
    shown = table("t", [(i, "x" * 999) for i in range(SHOWN + 5)])
    assert shown.count("<tr>") == SHOWN + 1 and "and 5 more" in shown and "x" * LONGEST not in shown
    assert [size(n) for n in (12, 1240, 3_400_000, 7_000_000_000)] == ["12 bytes", "1.24 kB", "3.4 MB", "7 GB"]


# ---------------------------------------------------------------- manifests that are no files


def test_a_manifest_is_a_path_a_text_or_a_dict(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(TEXT)
    given = (
        tmp_path / "m.yaml",
        str(tmp_path / "m.yaml"),
        TEXT,
        VALUES,
        "{editc: 1, model: 'editc:demo', edits: [{erase: circle, to: square}]}",
    )
    plans = [api.check(one).plan for one in given]
    sites = [plan.sites for plan in plans if plan is not None]
    assert len(sites) == len(given) and all(one == sites[0] for one in sites)
    with refused("E100"):
        api.check("editc: 1")  # one line: a path
    (tmp_path / "a\nb.yaml").write_text(TEXT)
    assert api.check(tmp_path / "a\nb.yaml").plan, "a Path is a path whatever its name"


def test_errors_keep_their_places() -> None:
    wrong = TEXT.replace("    to:", "    too:")
    (found,) = api.check(wrong).diagnostics
    assert found.source is not None and found.span is not None
    assert (found.source.name, found.span.line, found.where) == ("<text>", 5, "<text>, line 5")
    (found,) = api.check({**VALUES, "edits": ({"erase": "circle", "too": "square"},)}).diagnostics
    assert found.source is not None and found.span is not None
    assert found.source.line(found.span.line).strip() == "too: square" and found.source.name == "<dict>"
    with pytest.raises(EditcError) as error:
        api.build(wrong, "out")
    said = "".join(traceback.format_exception(error.value))
    assert "E102 at <text>, line 5\n      too: square\n      ^^^\n  help: did you mean `to`?" in said


def test_a_dict_is_written_so_that_it_is_read_again() -> None:
    shared = ["a {}", "two\nlines: {}", "on", "é" * 300]
    values = {"one": shared, "two": shared, "path": Path("a/b"), "pair": (1, 2.5), "none": None, "yes": True}
    text = manifest_text(values)
    assert yaml.safe_load(text) == {**values, "path": "a/b", "pair": [1, 2.5]} and "&" not in text


def test_a_dict_that_no_manifest_can_be() -> None:
    circle: dict[str, Any] = {}
    circle["self"] = circle
    for values in ({"a": object()}, circle, {"a": {1, 2}, "b": SimpleNamespace()}):
        with refused("E101"):
            api.check(values)


def test_a_build_records_the_text_of_a_dict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = []

    def stop(given: Any, overrides: Any, model: Any) -> Any:
        seen.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "require_manifest", stop)
    for given in (VALUES, TEXT, "m.yaml"):
        with pytest.raises(KeyboardInterrupt):
            api.build(given, tmp_path / "out")
    assert yaml.safe_load(seen[0].text) == yaml.safe_load(seen[1].text) == VALUES
    assert seen[1].text == TEXT and seen[2] == Path("m.yaml")
