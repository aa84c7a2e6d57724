"""Format version 2: half precision where that loses nothing, hashes and factors in few tensors, one way to write it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from delta_cases import rewritten, same
from format_fixtures import FORMS, half_delta
from tiny_files import delta_for, pipeline, refused, sealed

from editc.core.delta import Delta, Form
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.delta.container import from_bytes, read_delta, to_bytes, write_delta
from editc.formats.link.link import arrange, link
from editc.formats.models.model import Model


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return pipeline(tmp_path / "m")


@pytest.fixture
def halves(model: Model) -> Delta:
    return half_delta(model)


def test_the_file_has_a_tensor_for_hashes_for_sketches_and_for_each_side_of_a_group(
    halves: Delta, tmp_path: Path
) -> None:
    """As other programs see it; half precision where it holds every number of a side."""
    from safetensors import safe_open

    write_delta(halves, tmp_path / "d.safetensors")
    with safe_open(tmp_path / "d.safetensors", "np") as file:
        found = {name: file.get_tensor(name) for name in sorted(file.keys())}
        described = json.loads(file.metadata()[DELTA_KEY])
    assert {name: (part.dtype.name, part.shape) for name, part in found.items()} == {
        "group/text/left": ("float32", (16,)),
        "group/text/right": ("float16", (24,)),
        "sites/hashes": ("uint8", (18, 32)),
        "sites/sketches": ("float32", (2, 33)),
    }
    assert described["groups"]["text"] == {"form": "low-rank", "left": 2, "ranks": [2, 2], "right": 2, "sites": [0, 1]}
    assert described["sites"][0].keys() & {"base", "result", "sketch"} == set()
    assert found["sites/hashes"][0].tobytes().hex() == halves.sites[0].base["BF16"]
    np.testing.assert_array_equal(found["group/text/right"][:12], halves.factors["text"].right[0].reshape(-1))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_back(form: Form, model: Model, tmp_path: Path) -> None:
    made = sealed(replace(delta_for(model, form), version=2))
    write_delta(made, tmp_path / "d.safetensors")
    back = read_delta(tmp_path / "d.safetensors")
    assert same(back, made) and back.version == 2
    assert all(part.dtype == np.float32 for one in back.factors.values() for part in (*one.left, *one.right))


def test_ranks_may_differ_and_one_right_factor_may_serve_all(model: Model) -> None:
    made = delta_for(model, "low-rank")
    text = made.factors["text"]
    left = tuple(part[:, : 1 + k % 2] for k, part in enumerate(text.left))
    right = tuple(part[: 1 + k % 2] for k, part in enumerate(text.right))
    uneven = replace(made, version=2, factors={"text": replace(text, left=left, right=right)})
    one = replace(made, version=2, factors={"text": replace(text, right=text.right[:1])})
    for delta in (uneven, one):
        back = sealed(delta)
        assert same(back, replace(delta, delta_id=back.delta_id))


def test_version_1_is_larger_and_another_delta(halves: Delta) -> None:
    older = sealed(replace(halves, version=1))
    assert len(to_bytes(older)) - len(to_bytes(halves)) > 400 * len(halves.sites)
    assert older.delta_id != halves.delta_id
    np.testing.assert_equal(older.factors["text"].right, halves.factors["text"].right)


HOSTILE: Mapping[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "a group without ranks": lambda h, d: d["groups"]["text"].pop("ranks"),
    "ranks of another size": lambda h, d: d["groups"]["text"].update(ranks=[3, 2]),
    "ranks that fill the tensor otherwise": lambda h, d: d["groups"]["text"].update(ranks=[1, 3]),
    "negative ranks": lambda h, d: d["groups"]["text"].update(ranks=[-2, 6]),
    "too many ranks": lambda h, d: d["groups"]["text"].update(ranks=[2, 1, 1]),
    "ranks of text": lambda h, d: d["groups"]["text"].update(ranks="22"),
    "a number of factors": lambda h, d: d["groups"]["text"].update(left=1 << 39),
    "a site that is not there": lambda h, d: d["groups"]["text"].update(sites=[0, 7]),
    "no sites": lambda h, d: d.update(sites=[]),
    "sites that are no maps": lambda h, d: d.update(sites=[1, 2]),
    "a site without hashes": lambda h, d: d["sites"][0].update(hashed=[]),
    "more hashes": lambda h, d: d["sites"][0].update(hashed=["BF16", "F16", "F32", "F64"]),
    "hashes of one dtype": lambda h, d: [one.update(hashed=["F16"] * 3) for one in d["sites"]],
    "hashes in another order": lambda h, d: [one.update(hashed=["F32", "F16", "BF16"]) for one in d["sites"]],
    "hashes of strange dtypes": lambda h, d: [one.update(hashed=["A", "B", "C"]) for one in d["sites"]],
    "hashes as in version 1": lambda h, d: d["sites"][0].update(base={"F32": "0" * 64}),
    "a shape of text": lambda h, d: d["sites"][0].update(shape=["4", "6"]),
    "an endless shape": lambda h, d: d["sites"][0].update(shape=[1 << 62, 1 << 62]),
    "a tensor of nobody": lambda h, d: h.update({"group/x": h.pop("group/text/left")}),
    "a tensor of another name": lambda h, d: h.update({"sites/hash": h.pop("sites/hashes")}),
    "sketches of bytes": lambda h, d: h["sites/sketches"].update(dtype="U8", shape=[2, 132]),
    "hashes of another shape": lambda h, d: h["sites/hashes"].update(shape=[36, 16]),
    "factors of another shape": lambda h, d: h["group/text/left"].update(shape=[4, 4]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_changed_description_is_refused(change: Any, halves: Delta, tmp_path: Path) -> None:
    """Both ways: whole, and by the header alone, before the file is read."""
    data = rewritten(to_bytes(halves), change)
    with refused("E601"):
        from_bytes(data)
    (tmp_path / "d.safetensors").write_bytes(data)
    with refused("E601"):
        read_delta(tmp_path / "d.safetensors")


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_the_other_spelling_of_a_version_is_refused(halves: Delta, before: int, after: int) -> None:
    data = to_bytes(replace(halves, version=before))
    with refused("E601"):
        from_bytes(data.replace(f'version\\":{before}'.encode(), f'version\\":{after}'.encode()))


def test_a_version_that_is_not_there_is_not_written(halves: Delta) -> None:
    for version in (0, 3):
        with refused("E605"):
            to_bytes(replace(halves, version=version))


def test_a_linked_delta_has_the_newest_version_of_its_parts(halves: Delta, model: Model) -> None:
    other = delta_for(model, "low-rank", seed=9)
    linked = link(arrange([halves, other]), model, "editc 0")
    assert linked.version == 2 and sealed(linked).version == 2
