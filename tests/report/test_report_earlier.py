"""The curve of sequential edits in the report."""

from __future__ import annotations

from typing import Any

from editc.report.earlier import earlier_plot


def record(name: str, facts: int, before: Any, after: Any, moved: Any) -> dict[str, Any]:
    return {"delta_id": name * 64, "edits": [name], "facts": facts, "before": before, "after": after, "moved": moved}


def test_each_edit_is_a_place_with_its_shares_before_and_after_and_its_movement() -> None:
    drawn = earlier_plot([record("a", 10, 1.0, 0.5, 0.02), record("b", 4, 0.75, 0.75, 0.01)])
    assert drawn.count("<polyline") == 3 and "in the order of application" in drawn
    assert "edit 1: a: 0.5</title>" in drawn and "edit 2: b: 0.01</title>" in drawn


def test_what_was_not_measured_has_no_panel() -> None:
    assert earlier_plot([]) == ""
    assert earlier_plot([record("a", 0, None, None, 0.02)]).count("<polyline") == 1
    both = earlier_plot([record("a", 0, None, None, 0.02), record("b", 1, 1.0, 1.0, None)])
    assert "edit 1: a: none" in both and "edit 2: b: none" in both
    assert earlier_plot([record("a", 1, 1.0, 1.0, 0.0)]).count("<polyline") == 3
