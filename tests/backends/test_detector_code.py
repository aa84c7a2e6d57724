"""Detectors of somebody else: a Python file, a name that a package brings; what is no detector is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detector_cases import EYE, manifest, opened, wrong
from tiny_detectors import pictures

from editc.backends.detectors.kind import DetectorRequest
from editc.backends.detectors.lookup import detector_kind
from editc.core.diagnostics import EditcError
from editc.manifests.decode import decode_file
from editc.registry.detectors import DETECTORS
from editc.registry.table import Plugin

# what a Python file says


def test_a_class_a_function_and_an_object_all_are_detectors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "judge.py"
    file.write_text(EYE)
    seen = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (0, 255)])
    for member in ("Eye", "bright", "made"):
        found = opened("python", file, member=member)
        assert found.shows("circle", seen).tolist() == [False, True]
        assert found.knows("circle") and not found.knows("ghost") and found.concepts() == ()
    out, err = capfd.readouterr()
    assert not out and "looking for circle" in err
    assert [path.name for path in tmp_path.iterdir()] == ["judge.py"], "nothing is written beside it"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return pictures.mean(axis=(1, 2, 3)) / 255", "float64 for 2 pictures"),
        ("return [True]", "(1,) of bool for 2 pictures"),
        ("return [1, 0]", "of int64"),
        ("return None", "of object"),
        ("return [[True], []]", "shows"),
        ("pictures[:] = 0; return 1 / 0", "ZeroDivisionError: division by zero (line 5)"),
        ("raise SystemError('x')", "SystemError: x (line 5)"),
    ],
)
def test_what_is_no_answer_is_refused(tmp_path: Path, body: str, said: str) -> None:
    file = tmp_path / "judge.py"
    head = "class Eye:\n    def knows(self, c):\n        return True\n    def shows(self, concept, pictures):\n"
    file.write_text(f"{head}        {body}\n")
    seen = pictures(2)
    with pytest.raises(EditcError) as caught:
        opened("python", file, member="Eye").shows("circle", seen)
    assert caught.value.diagnostics[0].code == "E138" and said in caught.value.diagnostics[0].message
    assert (seen == pictures(2)).all(), "a detector cannot change the pictures"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Eye = 3", "cannot be created"),
        ("class Eye: pass", "no `knows` and `shows`"),
        ("import nothing_like_it as Eye", "ModuleNotFoundError"),
    ],
)
def test_what_is_no_detector_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "judge.py"
    file.write_text(text)
    with pytest.raises(EditcError) as caught:
        opened("python", file, member="Eye")
    assert caught.value.diagnostics[0].code == "E138" and said in caught.value.diagnostics[0].message


def test_somebody_else_s_detector_is_a_name_like_any_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By an entry point; what cannot be imported says so, and is no bug of ours."""
    (tmp_path / "their_eyes.py").write_text(EYE)
    monkeypatch.syspath_prepend(str(tmp_path))
    places = {"theirs": "their_eyes:made", "gone": "their_ears:made", "none": "their_eyes:made"}
    found = {name: (Plugin(place, "their-package"),) for name, place in places.items()}
    monkeypatch.setattr("editc.registry.table._entry_points", lambda group: found if group == "editc.detectors" else {})
    assert {"theirs", "gone"} < set(DETECTORS.names())
    theirs = detector_kind("theirs").open(DetectorRequest())
    assert theirs is not None and theirs.shows("circle", pictures(3)).shape == (3,)
    assert detector_kind("none").open(DetectorRequest()) is None, "our own names are ours"
    assert wrong(tmp_path, "theirs") == []
    with pytest.raises(EditcError) as caught:
        decode_file(manifest(tmp_path, "gone"))
    assert caught.value.diagnostics[0].code == "E139"
