"""The report says what was measured, the same way every time, and its page needs and runs nothing from outside."""
# ruff: noqa: RUF001  (its numbers are typeset with \u2212 and \u00d7)

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from report_cases import EVIL, Structure, built, html, picture, with_pictures
from verify_cases import Brush, Eye, World, constraints, context, erase, exact, images, kept, manifest, place, solved

from editc.core.manifest import Request
from editc.core.measurements import AttackCurve, AttackResult, Claim
from editc.core.places import Source
from editc.passes.images.verify.verify import Verify, failures, warnings
from editc.report import record as report
from editc.report.bars import HEIGHT, TOP, block_of, data_uri, plot
from editc.report.page import MAX_PAIRS, albums, headline, manifest_lines, template_values
from editc.report.words import code_in_ticks, figure, fixed_figure, percent, size

# ---------------------------------------------------------------- json


def test_the_same_build_gives_the_same_bytes() -> None:
    one, other = built(), built()
    assert report.as_text(report.as_json(one)) == report.as_text(report.as_json(other))
    assert html(one) == html(other)


def test_json_holds_every_claim_with_its_bound_and_line() -> None:
    of = built()
    record = json.loads(report.as_text(report.as_json(of, diagnostics=failures(of), tool="editc 9")))
    assert record == report.as_json(of, diagnostics=failures(of), tool="editc 9"), "as_json returns plain values only"
    assert record["status"] == "failed" and record["tool"] == "editc 9"
    assert [claim["name"] for claim in record["claims"]] == [claim.name for claim in of.report.claims]
    (drift,) = (claim for claim in record["claims"] if claim["name"] == "preserve_drift")
    span = place("preserve_drift")
    assert (drift["bound"], drift["line"], drift["column"], drift["holds"]) == (0.1, span.line, span.column, False)
    assert drift["value"] == pytest.approx(of.report.claims[1].value, rel=1e-8)
    assert [one["code"] for one in record["diagnostics"]] == ["E501", "E501"]
    assert [one["prompt"] for one in record["pictures"]] == [one.prompt for one in of.report.pictures]
    assert record["sites"][0]["name"] == World().names[0]


def test_what_ran_each_text_encoder_is_in_the_record_and_on_the_page() -> None:
    of = built()
    record = report.as_json(of, encoders={"text_encoder": "numpy", "text_encoder_2": "transformers"})
    assert record["encoders"] == {"text_encoder": "numpy", "text_encoder_2": "transformers"}
    assert "text_encoder by numpy, text_encoder_2 by transformers" in report.as_html(of, record)
    assert report.as_json(of)["encoders"] == {} and "Run by" not in html(of)


def test_the_curve_of_an_attack_is_in_the_record_and_on_the_page() -> None:
    curve = AttackCurve("training steps", ((0.0, 0, 8), (10.0, 3, 8), (20.0, 4, 8), (40.0, 8, 8)))
    attack = AttackResult("relearn", "weights", "circle", 8, 8, 8, "star", 8, {}, 0, curve=curve, seconds=3.0)
    of = built()
    of = replace(of, report=replace(of.report, attacks=(attack, replace(attack, attack="rows", curve=None))))
    first, second = json.loads(report.as_text(report.as_json(of)))["attacks"]
    assert first["curve"]["back"] == 20 and first["curve"]["points"][1] == [10, 3, 8]
    assert "curve" not in second and "seconds" not in first, "the time differs between machines"
    page = html(of)
    assert "training steps" in page and "10: 3 of 8 · 20: 4 of 8" in page
    assert replace(curve, points=((0.0, 3, 8),)).back is None


def test_json_never_holds_what_json_cannot_say() -> None:
    claims = (
        Claim("condition", float("inf")),
        Claim("preserve_drift", float("nan"), 0.1, span=place("preserve_drift")),
    )
    of = built()
    of = replace(of, report=replace(of.report, claims=claims))
    record = report.as_json(of)
    assert [claim["value"] for claim in record["claims"]] == ["inf", "nan"]
    assert json.loads(report.as_text(record))["status"] == "failed"
    assert "nan" in html(of)


def test_pictures_are_told_apart_by_their_hashes() -> None:
    record = report.as_json(with_pictures(built(), picture(), picture(side=5)))
    hashes = {one[when] for one in record["pictures"] for when in ("before", "after")}
    assert len(hashes) == 4 and all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes)


# ---------------------------------------------------------------- the page


def test_the_page_is_well_formed_and_refers_to_nothing_outside() -> None:
    text = html(built())
    found = Structure(text)
    assert not re.search("https?://|@import|url\\(", text)
    assert not found.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert all(value.startswith("data:image/png;base64,") for name, value in found.links if name == "src")
    assert {value[1:] for name, value in found.links if name == "href"} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))


def test_names_are_text_and_never_markup() -> None:
    eye = Eye({EVIL: 1.0, "square": 1.0, "circle": 1.0}, {EVIL: 0.0, "square": 1.0, "circle": 1.0})
    source = Source(EVIL, f"# {EVIL}\n" + "x: y\n" * 12)
    asked = manifest(erase(EVIL, also=(EVIL,)), images=images(prompts_per_concept=2), preserve=kept("square"))
    problem = World().problem(replace(asked, source=source, model=EVIL))
    problem = replace(problem, plan=replace(problem.plan, model=EVIL), corpus=EVIL, encoder=EVIL)
    text = html(Verify()(exact(problem), context(Brush(), eye)))
    assert "<script" not in text and "onerror=y>" not in text
    assert text.count("&lt;script&gt;") >= 8
    Structure(text)


def test_the_headline_says_whether_and_which() -> None:
    assert headline(report.as_json(built())).title == "2 of 3 constraints not met", "bystanders have a bound by default"
    assert "Erase residual" in html(built()).split("</header>")[0]
    fine = built(strength=1.0, constraints=constraints(erase_residual=0.2, rank=4))
    assert headline(report.as_json(fine)).title == "All 3 constraints met"
    assert headline(report.as_json(built(constraints=constraints(), preserve=kept()))).state == "plain"


def test_each_bound_line_is_marked() -> None:
    of = built(strength=1.0, constraints=constraints(erase_residual=0.2, preserve_drift=0.1))
    marks = {line.index: (line.state, line.note) for line in manifest_lines(report.as_json(of)) if line.state}
    assert set(marks) == {place("erase_residual").line, place("preserve_drift").line, place("erase").line}
    assert marks[place("erase_residual").line][0] == "ok"
    assert marks[place("preserve_drift").line][0] == "failed"


def test_several_claims_on_one_line_are_named_and_the_worst_is_shown() -> None:
    of = built(erase(), erase("square"), images=images(erased_at_most=0.9, kept_loss_at_most=0.9))
    (line,) = (line for line in manifest_lines(report.as_json(of)) if line.index == place("erased_at_most").line)
    rates = [claim.value for claim in of.report.claims if claim.name == "erased"]
    assert len(rates) == 2 and line.note.startswith(f"erased {percent(max(rates))}, kept_loss ")


def test_a_bound_that_was_not_measured_is_no_success() -> None:
    asked = manifest(images=images(erased_at_most=0.1))
    of = Verify()(exact(World().problem(asked)), context())
    record = report.as_json(of, diagnostics=warnings(of))
    assert {line.state for line in manifest_lines(record)} == {"", "unmeasured"}
    assert "E506" in report.as_html(of, record)


def test_values_from_the_command_line_are_shown_without_a_number() -> None:
    of = built()
    plan = of.solution.problem.plan
    asked = replace(plan.manifest, source=replace(plan.manifest.source, overrides=("constraints.rank=3",)))
    problem = replace(of.solution.problem, plan=replace(plan, manifest=asked))
    shown = list(manifest_lines(report.as_json(replace(of, solution=replace(of.solution, problem=problem)))))
    assert (shown[-1].number, shown[-1].text) == ("", "--set constraints.rank=3")
    assert shown[-2].text, "the empty line after the last line break is left out"
    assert shown[-1].index == len(asked.source.lines)


def test_bars_show_how_much_of_a_bound_is_used() -> None:
    claims = (
        Claim("rank", 16, 64),
        Claim("erased", 0.3, 0.1),
        Claim("kept_loss", -0.1, 0.1),
        Claim("erased", 0.1, 0.0),
    )
    of = built()
    of = replace(of, report=replace(of.report, claims=claims))
    rows = template_values((), report.as_json(of))["bounds"]
    assert [row.used for row in rows] == pytest.approx([0.25, 3.0, 0.0, 10.0])
    assert "width:25.0%" in html(of) and "left:33.33%" in html(of)


def test_matrices_that_did_not_change_are_named() -> None:
    world = World()
    left = world.draw(3, world.d_out, 1)
    left[1] = 0
    of = Verify()(solved(world.problem(manifest()), left, world.draw(1, world.d_in), "low-rank"), context())
    assert template_values((), report.as_json(of))["unchanged"] == [world.names[1]]
    assert "1 of 3 matrices did not change" in html(of)


# ---------------------------------------------------------------- pictures


def test_a_picture_in_the_page_is_the_picture_that_was_painted() -> None:
    from PIL import Image

    one = picture(side=32)
    uri = data_uri(one.before)
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    np.testing.assert_array_equal(read, one.before)
    large = base64.b64decode(data_uri(np.zeros((640, 320, 3), np.uint8)).partition(",")[2])
    assert Image.open(io.BytesIO(large)).size == (80, 160)


def test_albums_count_all_and_show_what_went_wrong_first() -> None:
    many = [picture(saw=(True, i >= 98)) for i in range(100)]
    lost = [picture("square", False, (True, False)), picture("square", False, (False, False))]
    record = report.as_json(built())
    first, second = albums([*many, *lost], record)
    assert (first.kind, first.count, first.shown_before, first.shown_after, first.wrong) == ("erased", 100, 100, 2, 2)
    assert len(first.pairs) == MAX_PAIRS and [pair.wrong for pair in first.pairs[:3]] == [True, True, False]
    assert (second.kind, second.wrong) == ("kept", 1), "what was not there before cannot be lost"


def test_a_moderated_concept_is_never_wrong() -> None:
    toward = Request(kind="moderate", concept="doctor", toward=(("circle", 0.5), ("square", 0.5)))
    of = built(toward, erase())
    found = {album.concept: album for album in albums(of.report.pictures, report.as_json(of))}
    assert (found["doctor"].kind, found["doctor"].wrong) == ("moderated", 0)
    Structure(html(of))


# ---------------------------------------------------------------- plots and words


def test_bars_are_as_high_as_their_values_and_the_bound_lies_on_the_same_scale() -> None:
    sites = [{"name": f"down_blocks.{i}.to_k", "role": "k", "drift": i / 10} for i in range(1, 4)]
    drawn = plot(sites, "drift", "Drift", 0.2)
    heights = [bar.height for bar in drawn.bars]
    assert heights[1:] == pytest.approx([2 * heights[0], 3 * heights[0]], rel=0.01)
    assert drawn.bound is not None and drawn.bound.at == pytest.approx(drawn.bars[1].y)
    assert [bar.over for bar in drawn.bars] == [False, False, True]
    assert plot(sites, "drift", "Drift", 50.0).bound is None, "a bound far above would flatten every bar"


def test_a_plot_survives_nothing_and_infinity() -> None:
    sites: list[Mapping[str, Any]] = [
        {"name": "mid_block.x", "role": "k", "drift": 0.0},
        {"name": "mid_block.y", "role": "q", "drift": "inf"},
    ]
    bars = plot(sites, "drift", "Drift", 0.1).bars
    assert (bars[0].height, bars[1].y, bars[1].over) == (0.0, TOP, True)
    assert all(0 <= bar.y <= HEIGHT for bar in bars)


@pytest.mark.parametrize(
    ("name", "block"),
    [("up_blocks.1.attentions.0.to_k.weight", "up 1"), ("mid_block.attentions.0.to_v.weight", "mid"), ("a", "a")],
)
def test_blocks_are_named_shortly(name: str, block: str) -> None:
    assert block_of(name) == block


def test_numbers_read_well() -> None:
    assert [figure(x) for x in (0.0, 3.0, 0.0824, 123.4, 4.5e7 + 0.5, 4.6e-16, -0.5, None, "inf")] == [
        "0", "3", "0.0824", "123", "4.5×10⁷", "4.6×10⁻¹⁶", "−0.5", "–", "inf",
    ]  # fmt: skip
    assert [fixed_figure(x) for x in (0.17, 0.0, 2e-5)] == ["0.170", "0", "2×10⁻⁵"]
    assert [percent(x) for x in (0.0, 0.025, 1.0, -0.05)] == ["0\u202f%", "2.5\u202f%", "100\u202f%", "−5\u202f%"]
    assert [size(x) for x in (999, 3070, 35_000_000)] == ["999\u202fB", "3.07\u202fkB", "35\u202fMB"]
    assert code_in_ticks("use `a<b>` now") == "use <code>a&lt;b&gt;</code> now"
    assert code_in_ticks("a lone ` stays") == "a lone ` stays"


def test_pictures_that_nobody_judged_are_shown_without_a_word_on_them() -> None:
    asked = manifest(images=images(prompts_per_concept=3), preserve=kept("square"))
    found = Verify()(exact(World().problem(asked)), context(Brush()))
    record = report.as_json(found)
    assert {(one["shown_before"], one["shown_after"]) for one in record["pictures"]} == {(None, None)}
    text = report.as_html(found, record)
    assert text.count('class="pair"') == 7 and "3 pictures, not judged" in text
    assert "No detector was named: look for yourself." in text
    assert "the detector" not in text and 'class="mark' not in text and "Pictures showing" not in text
