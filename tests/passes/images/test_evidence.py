"""Sites chosen by evidence: the site that carries the text is found, none that is kept can be spared, and the same
question gets the same answer."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import evidence_models
import numpy as np
import pytest
import torch
from evidence_models import ERASE, copy_with, located
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from editc import api
from editc.cli.show.dump import dump
from editc.core.diagnostics import EditcError
from editc.core.plan import Plan
from editc.passes.images.locate.ranked_sites import drop_spare_sites, grow_set
from editc.report import DELTA
from editc.report import record as report

model = evidence_models.model
UP, DOWN = (
    f"{block}.transformer_blocks.0.attn2" for block in ("up_blocks.1.attentions.1", "down_blocks.0.attentions.0")
)


# ---------------------------------------------------------------- the choice


def additive(gains: Sequence[tuple[float, ...]]) -> Callable[[Sequence[str]], tuple[float, ...]]:
    """Reaches that do add up, one a concept, each 1 for all sites."""
    total = np.sum(gains, axis=0)
    return lambda names: tuple(np.sum([gains[int(n)] for n in names] or [0 * total], axis=0) / total)


GAINS = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=1, max_size=8)


@given(GAINS, st.floats(0.05, 1.0))
def test_the_kept_sites_reach_the_share_of_every_concept_and_none_can_be_spared(
    gains: list[tuple[int, ...]], share: float
) -> None:
    reach = additive(gains)
    alone = {str(i): tuple(map(float, gain)) for i, gain in enumerate(gains)}
    without = drop_spare_sites(grow_set(alone, share, reach), share, reach)
    assert min(reach(list(without))) >= share - 1e-12
    for name, left in without.items():
        others = [other for other in without if other != name]
        assert left == min(reach(others))
        if others:
            assert left < share


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.floats(0.05, 1.0))
def test_where_effects_add_up_no_smaller_set_reaches_the_share(gains: list[int], share: float) -> None:
    reach = additive([(gain,) for gain in gains])
    kept = drop_spare_sites(
        grow_set({str(i): (float(gain),) for i, gain in enumerate(gains)}, share, reach), share, reach
    )
    fewer = sorted(gains, reverse=True)[: len(kept) - 1]
    assert sum(fewer) / sum(gains) < share


def test_sites_that_only_work_together_are_found_and_the_false_start_is_dropped() -> None:
    """`loud` does most alone, elsewhere; only `key` and `value` together reach the goal."""

    def reach(names: Sequence[str]) -> tuple[float, ...]:
        return (1.0 if {"key", "value"} <= set(names) else 0.1 * ("loud" in names),)

    alone = {"idle": (0.0,), "key": (0.2,), "loud": (0.9,), "value": (0.3,)}
    assert grow_set(alone, 0.9, reach) == ["loud", "value", "key"]
    assert drop_spare_sites(["loud", "value", "key"], 0.9, reach) == {"value": 0.0, "key": 0.0}


def test_the_concept_that_is_furthest_behind_is_served_next() -> None:
    reach = additive([(90.0, 1.0), (9.0, 1.0), (1.0, 98.0)])
    alone = {"0": (90.0, 1.0), "1": (9.0, 1.0), "2": (1.0, 98.0)}
    assert grow_set(alone, 0.85, reach) == ["0", "2"], "the second concept gets its own site before more of the first"


# ---------------------------------------------------------------- a model


def test_the_one_site_that_carries_the_text_is_found(model: Path, tmp_path: Path) -> None:
    """Every other V is zero, so no other layer's text reaches the picture, whatever its K says. (Its own K is zero too:
    keys that differ move the attention.)"""
    V = f"{UP}.to_v.weight"
    alone = copy_with(model, tmp_path / "model", lambda name, W: W if name == V else 0 * W)
    plan = located(alone, sites="{auto: 1.0}")
    best = max(plan.ranking.sites, key=lambda one: one.alone) if plan.ranking else None
    assert best is not None and best.site.name == V
    others = [one for one in plan.ranking.sites if UP not in one.site.name]  # type: ignore[union-attr]
    assert len(others) == 6 and all(one.alone == 0.0 and not one.chosen for one in others)
    assert {site.name for site in plan.sites} <= {V, f"{UP}.to_k.weight"}
    assert [site.name for site in located(alone, sites="{auto: 1.0, roles: [v]}").sites] == [V]


def test_a_share_of_one_keeps_all_that_matter_and_less_keeps_fewer(model: Path, tmp_path: Path) -> None:
    carriers = {f"{UP}.to_v.weight", f"{DOWN}.to_v.weight"}
    two = copy_with(model, tmp_path / "model", lambda name, W: 20 * W if name in carriers else 0 * W)
    every = located(two, sites="{auto: 1.0, roles: [v]}")
    assert {site.name for site in every.sites} == carriers
    assert every.ranking is not None and every.ranking.reached == (1.0,)
    assert all(one.reached_without is not None and one.reached_without < 1 for one in every.ranking.sites if one.chosen)
    assert len(located(two, sites="{auto: 0.05, roles: [v]}").sites) == 1


def test_the_choice_is_told_for_every_candidate_and_sites_keep_their_order(model: Path) -> None:
    plan = located(model, sites="{auto: 0.8, exclude: ['mid*']}")
    names = [site.name for site in plan.sites]
    assert names == sorted(names) and plan.ranking is not None
    assert len(plan.evidence) == len(plan.ranking.sites) == 6
    assert {name for name, why in plan.evidence.items() if why.startswith("kept")} == set(names)
    assert min(plan.ranking.reached) >= 0.8
    text = dump(plan)
    assert text.index("kept       1 of 6") < text.index("left out") if len(names) < 6 else "kept       1 of 6" in text


@pytest.fixture(scope="module")
def first(model: Path) -> Plan:
    """The sites of ERASE in the model as it is, with seed 0."""
    return located(model)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures_and_another_seed_others(model: Path, first: Plan) -> None:
    again, other = (located(model, seed=seed) for seed in (0, 1))
    assert first.ranking == again.ranking and first.evidence == again.evidence
    assert first.ranking != other.ranking


@pytest.mark.slow
def test_every_edit_is_weighed_against_its_own_whole(model: Path, first: Plan) -> None:
    """Adding an edit leaves the figures of the others as they were, whatever its kind."""
    two = located(model, ERASE + "  - moderate: {concept: heart, toward: {star: 0.5, red heart: 0.5}}\n").ranking
    one = first.ranking
    assert one is not None and two is not None and two.concepts == ("circle", "heart") and len(two.reached) == 2
    alone = {weighed.site: weighed.by_concept[0] for weighed in one.sites}
    assert {weighed.site: weighed.by_concept[0] for weighed in two.sites} == alone
    assert all(weighed.alone == pytest.approx(np.mean(weighed.by_concept)) for weighed in two.sites)


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [(lambda name, W: 0 * W, "E231", 5), (lambda name, W: W * float("nan"), "E402", 2)],
    ids=["no text reaches the picture", "NaN"],
)
def test_models_that_cannot_be_ranked(
    change: Callable[..., Any], code: str, line: int, model: Path, tmp_path: Path
) -> None:
    with pytest.raises(EditcError) as error:
        located(copy_with(model, tmp_path / "model", change))
    (one,) = error.value.diagnostics
    assert one.code == code and one.span is not None and one.span.line == line


@pytest.mark.parametrize("lost", ["scheduler/scheduler_config.json", "unet/config.json"])
def test_a_model_that_cannot_be_run_is_refused_at_the_line_that_asks(lost: str, model: Path, tmp_path: Path) -> None:
    maimed = copy_with(model, tmp_path / "model", lambda name, W: W)
    (maimed / lost).unlink()
    with pytest.raises(EditcError) as error:
        located(maimed)
    (one,) = error.value.diagnostics
    assert one.code == "E230" and one.span is not None and one.span.line == 7
    assert located(maimed, sites="{roles: [v]}").ranking is None, "explicit choices do without"


def test_a_name_that_is_cut_off_is_told_as_derive_tells_it(model: Path) -> None:
    with pytest.raises(EditcError, match="E302"):
        located(model, f'contexts: ["{"red " * 40}{{}}"]\n' + ERASE)


# ---------------------------------------------------------------- the whole build


@pytest.fixture(scope="module")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[api.Built, Path]:
    folder = tmp_path_factory.mktemp("build")
    (folder / "m.yaml").write_text(f"editc: 1\nmodel: {model}\n{ERASE}sites: {{auto: 0.6}}\n")
    made = api.build(folder / "m.yaml", folder / "out")
    assert made is not None and made.delta is not None
    return made, folder


def test_check_reads_headers_only_and_counts_the_candidates(built: tuple[api.Built, Path]) -> None:
    folder = built[1]
    code = "import sys; from editc.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, "check", str(folder / "m.yaml")], capture_output=True, text=True)
    assert done.returncode == 0 and "the fewest of 8 matrices that carry 0.6 of the concept" in done.stdout, done.stderr


def test_a_delta_of_a_subset_verifies_applies_and_says_why(
    built: tuple[api.Built, Path], model: Path, tmp_path: Path
) -> None:
    made, _ = built
    assert made.delta is not None
    names = [record.site.name for record in made.delta.sites]
    assert 0 < len(names) < 8
    again = api.verify(made.files[0], str(model))
    assert again.tier == "exact" and not again.failures
    described = api.inspect(str(made.files[0]))["sites"]
    assert [one["name"] for one in described] == names and all(one["why"].startswith("kept") for one in described)
    _, done = api.apply([made.files[0]], str(model), out=tmp_path / "patched")
    assert len(done.results) == len(names)
    before, after = (
        load_file(at / "unet" / "diffusion_pytorch_model.safetensors") for at in (model, tmp_path / "patched")
    )
    assert {name for name in before if not torch.equal(before[name], after[name])} == set(names)


def test_the_same_manifest_gives_the_same_delta(built: tuple[api.Built, Path], tmp_path: Path) -> None:
    made, folder = built
    api.build(folder / "m.yaml", tmp_path / "out")
    first, second = (hashlib.sha256(p.read_bytes()).hexdigest() for p in (made.files[0], tmp_path / "out" / DELTA))
    assert first == second


def test_the_report_draws_every_candidate_and_marks_those_left_out(built: tuple[api.Built, Path]) -> None:
    verified = built[0].verified
    record = report.as_json(verified)
    page = report.as_html(verified, record)
    kept = sum(site["kept"] for site in record["ranking"]["sites"])
    assert f"chose {kept} of 8" in page and page.count(' faint"') == 8 - kept
    plain = replace(verified.solution.problem, plan=replace(verified.solution.problem.plan, ranking=None))
    other = replace(verified, solution=replace(verified.solution, problem=plain))
    assert 'id="evidence"' not in report.as_html(other, report.as_json(other))
