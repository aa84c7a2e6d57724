"""`constraints: {discarded: ...}` bounds what an edit loses to a lower rank, and holds the solver to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from editc import api

TEXT = """\
editc: 1
model: ./base
edits:
  - {erase: cat, to: dog, method: uce, keys: last, expand: object}
  - {erase: house, to: tree, method: uce, keys: last, expand: object}
preserve: {corpus: none}
constraints: {CONSTRAINTS}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("discarded")
    tiny.pipeline_folder(place / "base")
    return place


def built(folder: Path, constraints: str) -> Any:
    (folder / "m.yaml").write_text(TEXT.replace("CONSTRAINTS", constraints))
    found = api.build(folder / "m.yaml", folder / "out")
    assert found is not None
    return found


def claims(found: Any) -> dict[str, float]:
    return {claim.name: claim.value for claim in found.verified.report.claims}


def test_at_zero_an_edit_has_a_rank_for_every_key(folder: Path) -> None:
    """Two names in six phrases; without the bound a tenth of the edit may go."""
    whole, small = built(folder, "discarded: 0"), built(folder, "")
    assert (claims(whole)["rank"], claims(whole)["discarded"]) == (12, 0)
    assert claims(small)["rank"] < 12 and 0 < claims(small)["discarded"] <= 0.1


def test_the_rank_is_the_least_that_loses_no_more_than_asked(folder: Path) -> None:
    ranks = [claims(built(folder, f"discarded: {share}"))["rank"] for share in (0.001, 0.02, 0.1, 1)]
    assert ranks == sorted(ranks, reverse=True) and ranks[0] > ranks[2]
    assert ranks[2] == ranks[3] == claims(built(folder, ""))["rank"], "a looser bound drops no more than before"


def test_a_bound_on_the_rank_that_drops_more_breaks_it(folder: Path) -> None:
    found = built(folder, "discarded: 0.001, rank: 2")
    assert found.delta is None and [one.code for one in found.failures] == ["E501"]
    assert "discarded" in found.failures[0].message and "`rank`" in found.failures[0].help


def test_an_edit_of_which_nothing_is_dropped_is_the_formula_s(folder: Path) -> None:
    """W' - W = W M with M of the solve: the delta has it but for the rounding of its factors."""
    found = built(folder, "discarded: 0")
    (edit,) = found.verified.solution.edits.values()
    (system,) = found.verified.solution.problem.systems.values()
    keys = np.hstack([block.keys for block in system.blocks])
    targets = np.hstack([block.targets for block in system.blocks])
    moment = keys @ keys.T + system.preserved.moment + system.ridge * np.eye(len(keys))
    wanted = np.linalg.solve(moment, keys @ (targets - keys).T).T
    assert np.abs(edit.left[0] @ edit.right[0] - wanted).max() < 1e-6 * np.abs(wanted).max()
