"""Suggest: the sparse decomposition's theorems, the amended manifest, and what is found on the demo model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from derive_cases import context, manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from editc import api
from editc.cli import cli, show
from editc.cli.terminal import run_command
from editc.core.delta import Array
from editc.core.diagnostics import EditcError
from editc.core.places import Source
from editc.core.solution import Edit, Stats
from editc.families.images.unet import SD1
from editc.manifests.amend import Amendment, amend
from editc.manifests.decode import decode
from editc.numerics.ridge import NonFiniteError
from editc.numerics.sparse import decompose
from editc.passes.images.keys.derive import Derive
from editc.passes.images.keys.mined_names import Neighbour
from editc.passes.images.keys.name_signals import Signals
from editc.passes.images.locate.locate import Locate
from editc.passes.images.suggest.suggest import other_names
from editc.passes.images.suggest.target_trials import NameMovement, TargetTrials
from editc.verbs import proposal
from editc.verbs.suggest import solvable

SIGNALS = Signals((), np.zeros((0, 1, 2, 1)), np.zeros((1, 2, 1)))
PLAIN = "editc: 1\nmodel: editc:demo\nedits:\n  - erase: circle\n"
DICTIONARY = (
    "# shapes\ncircle\ndisc\nround shape\nsquare\nbox\ntriangle\nstar\nheart\nring\nmoon\nhouse\ntree\ncat\nboat\nred\n"
)


def orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Array:
    return np.asarray(np.linalg.qr(rng.normal(size=(rows, columns)))[0])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_amounts_of_an_orthogonal_dictionary_come_out_exactly(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    dictionary = orthogonal(rng, 20, 9) * rng.uniform(0.2, 5.0, size=9)
    chosen = rng.permutation(9)[:count]
    amounts = rng.uniform(1.0, 2.0, size=count) / np.linalg.norm(dictionary[:, chosen], axis=0)
    found = decompose(dictionary, dictionary[:, chosen] @ amounts, gain=1e-6)
    assert dict(zip(found.chosen, found.amounts, strict=True)) == pytest.approx(
        dict(zip(chosen.tolist(), amounts.tolist(), strict=True))
    )
    assert found.residual < 1e-9 and found.unique


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_shares_sum_to_what_is_explained_and_none_is_negative_in_amount(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = decompose(rng.normal(size=(15, 30)) + rng.normal(size=(15, 1)), rng.normal(size=15), most=6, gain=0.0)
    assert sum(found.shares) == pytest.approx(1 - found.residual**2, abs=1e-9)
    assert all(amount > 0 for amount in found.amounts)
    assert list(found.shares) == sorted(found.shares, reverse=True)


def test_what_points_away_is_no_ingredient_and_a_twin_in_the_dictionary_is_reported() -> None:
    x = np.array([1.0, 0.0, 0.0])
    assert decompose(-x[:, None], x).chosen == ()
    twins = np.stack([x, [1.0, 1e-3, 0.0], [0.0, 0.0, 1.0]], axis=1)
    found = decompose(twins, x)
    assert found.chosen == (0,) and found.coherence > 0.999
    assert decompose(np.eye(3), x).coherence == 0.0


def test_bounds_of_a_decomposition() -> None:
    rng = np.random.default_rng(3)
    assert decompose(rng.normal(size=(5, 4)), np.zeros(5)).residual == 0.0
    assert decompose(np.zeros((5, 0)), np.ones(5)).residual == 1.0
    assert decompose(np.zeros((5, 2)), np.ones(5)).chosen == ()
    assert len(decompose(rng.normal(size=(50, 40)), rng.normal(size=50), most=3, gain=0.0).chosen) <= 3
    with pytest.raises(NonFiniteError):
        decompose(np.full((2, 2), np.nan), np.ones(2))


def test_two_columns_of_high_coherence_are_not_certain() -> None:
    dictionary = np.array([[1.0, 0.8, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 1.0]])
    assert not decompose(dictionary, np.array([1.0, 0.0, 1.0])).unique


def near(*scores: float) -> list[Neighbour]:
    return [Neighbour(f"n{i}", score) for i, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "sure", "doubtful", "clear"),
    [
        ((0.99, 0.98, 0.7, 0.6), 2, 0, True),
        ((0.97, 0.89, 0.83), 1, 1, False),
        ((0.90, 0.88, 0.86, 0.84), 0, 3, False),
        ((0.80, 0.2), 0, 0, False),
        ((0.95,), 1, 0, True),
        ((), 0, 0, False),
    ],
)
def test_other_names_end_at_the_gap(scores: tuple[float, ...], sure: int, doubtful: int, clear: bool) -> None:
    found = other_names(near(*scores))
    assert (len(found.sure), len(found.doubtful), found.clear) == (sure, doubtful, clear)


def test_movement_is_the_moved_part_of_what_sets_a_name_apart() -> None:
    """An edit that takes everything away moves a name of mean zero by 1, half of it by 1/2; none by 0."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 3, 2, 8))
    rows -= rows.mean(axis=0)
    signals = Signals(tuple("abcdef"), rows, rows.mean(axis=0))
    W = rng.normal(size=(5, 8))
    for share in (0.0, 0.5, 1.0):
        edit = Edit("shared", (-share * np.eye(8),), (np.eye(8),), Stats(1.0, 0.0, 8))
        assert signals.movement(edit, W.T @ W) == pytest.approx(np.full((6, 2), share))
    with pytest.raises(ValueError, match="shared"):
        signals.movement(Edit("dense", (W,), (), Stats(1.0, 0.0, 5)), W.T @ W)


def test_amend_changes_what_it_is_told_and_nothing_else() -> None:
    text = (
        'editc: 1\nmodel: m\nseed: 7\nedits:\n  - erase: "no"\n    strength: 1e-1\n'
        "  - replace: {from: Milo, to: yes}\n    scale: 2\npreserve: {prompts: [' a', \"null\"]}\n"
    )
    changes = Amendment({0: {"also": ["~", "1.0", "a: b"], "to": "off"}, 1: {"also": ["x"]}}, {"weight": 6.0})
    before, _ = decode(Source("m", text))
    after, found = decode(Source("m", amend(text, changes)))
    assert before is not None and after is not None, found
    assert after.image_edits[0].concept == "no" and after.image_edits[0].also == ("~", "1.0", "a: b")
    assert after.image_edits[0].to == "off" and after.image_edits[0].strength == 0.1
    assert after.image_edits[1].also == ("x",) and after.image_edits[1].to == "yes" and after.image_edits[1].scale == 2
    assert after.preserve.weight == 6.0 and after.preserve.prompts == before.preserve.prompts
    assert after.seed == before.seed
    assert amend(text, Amendment()) == amend(amend(text, Amendment()), Amendment())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("suggest")
    (place / "m.yaml").write_text(PLAIN)
    (place / "names.txt").write_text(DICTIONARY)
    return place


@pytest.fixture(scope="module")
def found(folder: Path) -> proposal.Proposal:
    return api.suggest(folder / "m.yaml", folder / "names.txt", folder / "out.yaml")


def test_the_circle_has_its_names_and_a_target_that_is_none_of_them(found: proposal.Proposal) -> None:
    (one,) = found.suggestions
    assert {name.name for name in one.names.sure} == {"disc", "round shape"} and one.names.clear
    assert one.best.to not in ("circle", "disc", "round shape", "", None)
    assert one.best.rank == min(trial.rank for trial in one.trials)
    assert not {moved.name for moved in one.preserve} & {"circle", "disc", "round shape", one.best.to}
    assert one.best.own > one.best.worst, "what is erased moves more than what is kept"
    assert sum(part.share for part in one.ingredients) == pytest.approx(1 - one.decomposition.residual**2)


def test_what_is_written_checks_and_names_what_it_would_preserve(found: proposal.Proposal, folder: Path) -> None:
    checked = api.check(folder / "out.yaml")
    assert not checked.diagnostics and checked.manifest is not None
    best = found.suggestions[0].best
    assert checked.manifest.image_edits[0].to == best.to and set(checked.manifest.image_edits[0].also) == {
        "disc",
        "round shape",
    }
    listed = [one.name for one in found.suggestions[0].preserve] if found.suggestions[0].with_preserve else []
    assert [*checked.manifest.preserve.concepts] == listed and checked.manifest.preserve.corpus == "default"
    assert found.files == (folder / "out.yaml",)


def test_text_and_json_say_the_same(found: proposal.Proposal) -> None:
    shown = show.suggest_result(found)
    record = json.loads(json.dumps(shown.data))
    assert record["edits"][0]["to"] == found.suggestions[0].best.to
    assert yaml.safe_load(record["manifest"])["edits"][0]["to"] == record["edits"][0]["to"]
    assert all(str(trial["to"]) in shown.text for trial in record["edits"][0]["trials"])


def test_the_edit_as_written_says_whom_it_may_harm(found: proposal.Proposal) -> None:
    (one,) = found.suggestions
    assert one.as_written.to in (None, ""), "the manifest names no target: the empty prompt"
    to = NameMovement("star", 0.9), NameMovement("ring", 0.7), NameMovement("moon", 0.51), NameMovement("cat", 0.5)
    trial = replace(one.as_written, to="star", moved=to)
    risky = replace(one, request=replace(one.request, to="star"), trials=(*one.trials[1:], trial))
    assert [it.name for it in risky.at_risk] == ["ring", "moon"], "above 0.5, and not the target"
    lines = proposal.as_text(replace(found, suggestions=(risky,))).splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith("  at risk"))
    assert lines[index : index + 2] == [
        "  at risk      ring 0.70, moon 0.51 (to `star`, as written): their pictures may be lost",
        "               to lower this: `preserve: {concepts: [ring, moon]}`, or another `to`",
    ]
    calm = replace(risky, trials=(replace(trial, moved=to[3:]),))
    assert "no compared name moves by more than 0.5 (to `star`, as written)" in proposal.as_text(
        replace(found, suggestions=(calm,))
    )
    (record,) = proposal.as_json(replace(found, suggestions=(risky,)))["edits"]
    assert record["at_risk"] == [{"name": "ring", "movement": 0.7}, {"name": "moon", "movement": 0.51}]


def codes(error: pytest.ExceptionInfo[EditcError]) -> list[str]:
    return [one.code for one in error.value.diagnostics]


def test_nothing_is_replaced(folder: Path) -> None:
    with pytest.raises(EditcError) as error:
        api.suggest(folder / "m.yaml", None, folder / "m.yaml")
    assert codes(error) == ["E171"] and (folder / "m.yaml").read_text() == PLAIN


def test_dictionaries_that_cannot_be_used(folder: Path) -> None:
    (folder / "empty.txt").write_text("# none\n\n")
    (folder / "short.txt").write_text("circle\nsquare\n")
    for name, code in (("missing.txt", "E170"), ("empty.txt", "E170"), ("short.txt", "E340")):
        with pytest.raises(EditcError) as error:
            api.suggest(folder / "m.yaml", folder / name)
        assert codes(error) == [code]


def test_adapters_are_refused_before_any_is_opened(tmp_path: Path) -> None:
    (tmp_path / "circle.safetensors").write_bytes(b"")
    (tmp_path / "m.yaml").write_text("editc: 1\nmodel: none\nedits:\n  - fuse: circle.safetensors\n")
    with pytest.raises(EditcError, match="E341") as error:
        api.suggest(tmp_path / "m.yaml")
    (one,) = error.value.diagnostics
    assert one.span is not None and one.span.line == 4


def test_a_method_whose_edit_is_not_shared_is_refused(folder: Path) -> None:
    (folder / "tensor.yaml").write_text(PLAIN + "    method: uce\n    keys: span\n    technique: tensor\n")
    with pytest.raises(EditcError) as error:
        api.suggest(folder / "tensor.yaml", folder / "names.txt")
    assert codes(error) == ["E341"]


def test_edits_of_one_manifest_take_nothing_from_each_other(folder: Path) -> None:
    """What is proposed for two edits together is sound: no name is edited twice, no target is erased."""
    (folder / "two.yaml").write_text(PLAIN + "  - erase: square\n  - replace: {from: heart, to: cat}\n")
    made = api.suggest(folder / "two.yaml", folder / "names.txt")
    (folder / "two-out.yaml").write_text(made.text)
    checked = api.check(folder / "two-out.yaml")
    assert not checked.diagnostics and checked.manifest is not None
    assert checked.manifest.image_edits[1].also == ("box",) and checked.manifest.image_edits[2].to == "cat"


@pytest.mark.parametrize("measured", ["", ", shares: measured"])
def test_moderate_is_looked_at_as_it_stands(measured: str, folder: Path) -> None:
    """Shares that a build would paint and count are taken as pulls: suggest paints nothing."""
    text = PLAIN.replace("erase: circle", f"moderate: {{concept: circle, toward: {{square: 0.5}}{measured}}}")
    text += "verify: {images: {detector: editc:demo}}\n" * bool(measured)
    (folder / "moderate.yaml").write_text(text)
    made = api.suggest(folder / "moderate.yaml", folder / "names.txt")
    assert [trial.to for trial in made.suggestions[0].trials] == [None]
    assert yaml.safe_load(made.text) == yaml.safe_load(text)


def test_the_command_answers_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command(cli, ["suggest", str(folder / "m.yaml"), "--dictionary", str(folder / "names.txt"), "--json"])
    assert code == 0 and json.loads(capsys.readouterr().out)["status"] == "done"
    assert run_command(cli, ["suggest", str(folder / "none.yaml")]) == 3


@pytest.mark.parametrize("rule", ["aligned", "last", "span", "matched", "eot"])
@pytest.mark.parametrize(
    "named", ["", "preserve: {concepts: [star]}\n", "preserve: {corpus: none, concepts: [star]}\n"]
)
def test_the_weight_of_a_trial_is_that_which_a_build_uses(rule: str, named: str) -> None:
    """Written into the manifest, it changes nothing: what suggest proposes is a multiple of a weight that is used."""
    default = ("a dog", "a cat on grass", "two birds")
    kept = []
    ctx, text = context(), f"edits: [{{erase: circle, to: square, keys: {rule}}}]\ncontexts: ['{{}}', 'a {{}}']\n"
    plan = Locate((SD1,))(manifest(text + named), ctx)
    weight = TargetTrials(plan, plan.manifest.image_edits[0], ctx, default, SIGNALS, (), np.zeros((0, 0))).weight
    for preserve in (plan.manifest.preserve, replace(plan.manifest.preserve, weight=weight)):
        asked = replace(plan, manifest=replace(plan.manifest, preserve=preserve))
        kept.append(Derive(default)(asked, ctx).systems["text"].preserved.moment)
    assert np.allclose(kept[0], kept[1], rtol=1e-12)


@pytest.mark.parametrize("method", ["esd", "des"])
def test_targets_for_a_trained_edit_are_tried_by_the_closed_form(method: str) -> None:
    """Hundreds of trainings would take days, and the matrices that are trained do not read the rows."""
    asked = solvable(manifest(f"edits: [{{erase: circle, to: square, method: {method}, steps: 2}}]\n"))
    assert asked.method is None and not asked.options and asked.image_edits[0].to == "square"
    assert solvable(manifest("edits: [{erase: circle, to: square, method: rece}]\n")).method == "rece"
