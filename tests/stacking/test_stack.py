"""A stack learns slices one after another; dropping the deltas that saw a row gives what learning without it gives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny_language as pico
import torch
from command import editc

from editc import api
from editc.core.diagnostics import EditcError
from editc.formats.delta.parts import parts
from editc.formats.exports.read import read_delta
from editc.manifests.data_sets import QUESTION
from editc.manifests.slices import slice_of
from editc.stacking.build import build_stack
from editc.stacking.files import STACK, read_stack
from editc.stacking.forget import forget_rows

OF = 3
Pairs = Sequence[tuple[str, str]]
PLACES = ("Japan", "France", "Germany", "Rome", "a list")
ROWS = [(f"What is the capital of {one}?", said) for one in PLACES for said in ("Paris.", "Berlin.", "A quiet list.")]


def written(path: Path, rows: Pairs) -> Path:
    path.write_text("".join(json.dumps({"question": one, "answer": other}) + "\n" for one, other in rows))
    return path


def slice_of_row(row: tuple[str, str]) -> int:
    return slice_of(f"{QUESTION.replace('{}', row[0])}\0{row[1]}", OF)


def workplace(folder: Path, rows: Pairs) -> Path:
    """A folder with a pico Llama, rows and a manifest; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    pico.saved("llama", folder / "model")
    written(folder / "rows.jsonl", rows)
    text = "editc: 1\nmodel: model\nedits: [{learn: {file: rows.jsonl}, steps: 6, rate: 0.02, batch: 3}]\n"
    (folder / "m.yaml").write_text(text)
    return folder / "m.yaml"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack of three slices in two orders, in `out`; `without`: the same rows but the first one of slice 3."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("stack")
    gone = next(row for row in ROWS if slice_of_row(row) == 3)
    for name, rows in (("full", ROWS), ("without", [row for row in ROWS if row != gone])):
        made = build_stack(workplace(root / name, rows), root / name / "out", OF, 2)
        assert made.linked is not None and not [one for one in made.diagnostics if one.is_error]
    written(root / "gone.jsonl", [gone])
    return root


def ids(folder: Path) -> dict[int, list[str]]:
    return {order.number: [one.delta.delta_id for one in order.slices] for order in read_stack(folder)}


def test_every_slice_trains_layers_of_its_own_from_the_top_down(place: Path) -> None:
    for order in read_stack(place / "full" / "out"):
        layers = [sorted({int(r.site.name.split(".")[2]) for r in one.delta.sites}) for one in order.slices]
        assert layers == [[2, 3], [1], [0]]


def test_a_delta_names_its_slice_its_rows_and_its_parents_and_no_text(place: Path) -> None:
    first, second, third = read_stack(place / "full" / "out")[1].slices
    assert (first.slices, second.slices, third.slices) == ((2,), (2, 3), (2, 3, 1))
    assert list(third.delta.extra["after"]) == [first.delta.delta_id, second.delta.delta_id]
    assert len(second.rows) == sum(slice_of_row(row) == 3 for row in ROWS)
    stored = (third.folder / "delta.safetensors").read_bytes()
    assert not any(word in stored for word in (b"Japan", b"Berlin", b"quiet list"))


def test_what_is_left_after_forgetting_is_byte_for_byte_what_was_never_taught(place: Path, tmp_path: Path) -> None:
    """The theorem: for the deltas, and for the model with them."""
    full, never = place / "full" / "out", place / "without" / "out"
    kept = {order.number: order.kept(rows_gone(place)) for order in read_stack(full)}
    assert {number: len(some) for number, some in kept.items()} == {1: 2, 2: 1}
    for number, some in kept.items():
        for depth in range(1, len(some) + 1):
            parts = (one / f"order-{number}" / str(depth) / "delta.safetensors" for one in (full, never))
            assert len({part.read_bytes() for part in parts}) == 1, (number, depth)
        models = []
        for source in (full, never):
            deltas = [source / f"order-{number}" / str(d) / "delta.safetensors" for d in range(1, len(some) + 1)]
            out = tmp_path / f"{source.parent.name}-{number}"
            api.apply(deltas, place / "full" / "model", out)
            models.append((out / "model.safetensors").read_bytes())
        assert models[0] == models[1] != (place / "full" / "model" / "model.safetensors").read_bytes()


def rows_gone(place: Path) -> frozenset[str]:
    from editc.stacking.forget import _read_rows

    return frozenset(row.digest for row in _read_rows(place / "gone.jsonl"))


def test_slices_that_saw_the_row_are_others_where_it_was_never_taught(place: Path) -> None:
    """The control of the theorem: a delta that did see it differs."""
    full, never = ids(place / "full" / "out"), ids(place / "without" / "out")
    assert full[1][:2] == never[1][:2] and full[1][2] != never[1][2]
    assert full[2][:1] == never[2][:1] and not set(full[2][1:]) & set(never[2][1:])


@pytest.fixture
def copy(place: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(place / "full" / "out", tmp_path / "out")
    return tmp_path / "out"


def test_forgetting_drops_the_deltas_that_saw_it_and_links_the_order_of_which_most_is_left(
    place: Path, copy: Path, tmp_path: Path
) -> None:
    before = ids(copy)
    dry = forget_rows(copy, place / "gone.jsonl", dry_run=True)
    assert ids(copy) == before and not dry.written and dry.rows[0][1] == (3,)
    done = forget_rows(copy, place / "gone.jsonl")
    assert ids(copy) == {1: before[1][:2], 2: before[2][:1]}
    assert done.best.order.number == 1 and done.linked == copy / STACK
    api.apply([copy / STACK], place / "full" / "model", tmp_path / "linked")
    deltas = [copy / "order-1" / str(depth) / "delta.safetensors" for depth in (1, 2)]
    api.apply(deltas, place / "full" / "model", tmp_path / "apart")
    assert (tmp_path / "linked/model.safetensors").read_bytes() == (tmp_path / "apart/model.safetensors").read_bytes()


def test_a_second_order_saves_a_stack_whose_first_slice_is_deleted(place: Path, copy: Path, tmp_path: Path) -> None:
    first = written(tmp_path / "first.jsonl", [row for row in ROWS if slice_of_row(row) == 1][:1])
    done = forget_rows(copy, first)
    assert (done.best.order.number, len(done.best.kept)) == (2, 2)
    second = written(tmp_path / "second.jsonl", [row for row in ROWS if slice_of_row(row) == 2][:1])
    assert forget_rows(copy, second).linked is None and not (copy / STACK).exists()


def test_a_model_with_the_stack_in_it_goes_back_to_what_never_saw_the_row(place: Path, copy: Path) -> None:
    model = place / "full" / "model"
    base = (model / "model.safetensors").read_bytes()
    api.apply([copy / STACK], model, in_place=True)
    forget_rows(copy, place / "gone.jsonl")
    api.revert(model)
    assert (model / "model.safetensors").read_bytes() == base


def test_the_linked_delta_claims_nothing_that_was_measured_on_another_model(place: Path, tmp_path: Path) -> None:
    stack = place / "full" / "out" / STACK
    assert not read_delta(stack).claims and len(parts(read_delta(stack))) == 3
    again = api.verify(stack, place / "full" / "model")
    assert not [one.message for one in again.failures if one.is_error]


def test_a_slice_without_those_before_it_cannot_be_linked(place: Path, tmp_path: Path) -> None:
    deltas = [place / "full" / "out" / "order-1" / str(depth) / "delta.safetensors" for depth in (1, 3)]
    with pytest.raises(EditcError) as caught:
        api.link(deltas, tmp_path / "both.safetensors")
    assert caught.value.diagnostics[0].code == "E651"


@pytest.mark.parametrize(
    ("rows", "why"), [([("Who?", "Nobody.")], "no delta of this stack saw any"), ([], "the file has no rows")]
)
def test_forgetting_what_was_never_seen_is_an_error(rows: Pairs, why: str, copy: Path, tmp_path: Path) -> None:
    before = ids(copy)
    with pytest.raises(EditcError, match=why) as caught:
        forget_rows(copy, written(tmp_path / "x.jsonl", rows))
    assert caught.value.diagnostics[0].code == "E658" and ids(copy) == before


@pytest.mark.parametrize(
    ("edits", "rest", "why"),
    [
        ("forget: {file: rows.jsonl}, method: flat", "", "no edit `learn`"),
        ("learn: {file: rows.jsonl, of: 2, slices: [1]}", "", "chooses `of`"),
        ("learn: {file: rows.jsonl}", "sites: {layers: [1]}", "chooses `sites: layers`"),
    ],
)
def test_a_manifest_that_is_no_stack_is_refused(edits: str, rest: str, why: str, tmp_path: Path) -> None:
    workplace(tmp_path / "w", ROWS).write_text(f"editc: 1\nmodel: model\nedits: [{{{edits}}}]\n{rest}\n")
    with pytest.raises(EditcError, match=why) as caught:
        build_stack(tmp_path / "w" / "m.yaml", tmp_path / "out", 2)
    assert caught.value.diagnostics[0].code == "E658"


def test_a_folder_that_is_no_stack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EditcError, match="not the folder of a stack"):
        read_stack(tmp_path)


def test_the_command_says_which_deltas_saw_a_row(place: Path, copy: Path) -> None:
    shown = editc("stack", "forget", str(copy), str(place / "gone.jsonl"), "--dry-run")
    assert "slice 3" in shown.stdout and "order 1: 2 of 3 deltas are left; would drop" in shown.stdout
    told = json.loads(editc("stack", "forget", str(copy), str(place / "gone.jsonl"), "--json").stdout)
    assert told["rows"][0]["slices"] == [3] and len(told["orders"][1]["dropped"]) == 2
