"""Where a language model has what is edited: probes on made-up states, windows on made-up curves, and pico models."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import smollm2
import tiny_language as pico

from benchmarks.depth import CAPITALS, FRANCE, FRENCH, asked
from editc.core.diagnostics import EditcError
from editc.core.language_edits import Ablation, PromptAnswer, Redirect
from editc.core.measurements import Depth
from editc.core.prompts import PREFIXES
from editc.passes.language.locate.depth import evenly, measure_depth, prompts_to_trace
from editc.passes.language.locate.probing import probe_accuracy, prompts_for_probe
from editc.passes.language.locate.window import carrying_layers, explain_window, window
from editc.report.depth import depth_plot

RNG = np.random.default_rng(0)
CARRIES = np.arange(40) < 20
FOLDS = np.arange(40) % 5
PEAK = (0.0, 0.1, 0.2, 0.5, 0.8, 1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0)


@pytest.fixture(scope="module")
def network() -> Any:
    return pico.network("llama")


def curve(values: Sequence[float], moved: Sequence[float] = ()) -> Depth:
    return Depth(traced=tuple(values), moved=tuple(moved), total=0.5)


def test_a_probe_finds_what_is_there_and_nothing_where_nothing_is() -> None:
    noise = RNG.standard_normal((64, 40))
    concept = np.outer(RNG.standard_normal(64), CARRIES)
    assert probe_accuracy(noise + 3 * concept, CARRIES, FOLDS) == 1.0
    guesses = [probe_accuracy(RNG.standard_normal((64, 40)), CARRIES, FOLDS) for _ in range(20)]
    assert abs(np.mean(guesses) - 0.5) < 0.06
    assert probe_accuracy(np.ones((64, 40)), CARRIES, FOLDS) == 0.5, "the same everywhere: it is on neither side"


def test_a_probe_that_has_seen_nothing_else_of_a_template_learns_nothing_of_it() -> None:
    """Every fold has its own direction, so a probe knows the folds that it saw: with a prompt's twin in another fold it
    would be right, held out with its fold it is not."""
    own = np.eye(5)[:, FOLDS] * np.where(CARRIES, 1, -1)
    stream = np.vstack([10 * own, RNG.standard_normal((20, 40))])
    assert probe_accuracy(stream, CARRIES, FOLDS) < 0.7
    assert probe_accuracy(stream, CARRIES, np.arange(40) // 5 % 4) > 0.95


def test_a_probe_s_accuracy_does_not_depend_on_scale_or_on_which_side_has_more() -> None:
    stream = RNG.standard_normal((16, 40)) + 1.2 * np.outer(np.ones(16), CARRIES)
    scaled = stream * (10.0 ** RNG.integers(-3, 4, 16))[:, None] + 100
    assert (
        probe_accuracy(scaled, CARRIES, FOLDS)
        == probe_accuracy(stream, CARRIES, FOLDS)
        == probe_accuracy(stream, ~CARRIES, FOLDS)
    )
    few = np.arange(40) < 36
    random = [probe_accuracy(RNG.standard_normal((16, 40)), few, FOLDS) for _ in range(20)]
    assert abs(np.mean(random) - 0.5) < 0.12, "always saying `with` is no better than guessing"


def test_the_prompts_of_a_probe() -> None:
    fact = CAPITALS[0]
    one = prompts_for_probe(CAPITALS, 0)
    assert PREFIXES[1] + "The capital of France is" in one.prompts
    without = {text for text, _ in one.absent}
    assert {"The capital of Germany is", "Japan's capital city is"} < without
    assert not any("France" in text for text in without) and all("France" in text for text, _ in one.present)
    folds = {text: fold for text, fold in (*one.present, *one.absent)}
    assert folds["The capital of France is"] == folds["The capital of Japan is"]
    assert one.testable and not prompts_for_probe([fact], 0).testable, "alone it has nothing to be told from"
    near = replace(fact, neighbours=tuple(PromptAnswer(f"The capital of {one} is") for one in ("Spain", "Italy")))
    assert prompts_for_probe([near], 0).testable
    redirect = replace(FRANCE, also=("the French Republic",))
    names = {text for text, _ in prompts_for_probe([redirect], 0).present}
    assert {"The flag of France is", "The flag of the French Republic is"} < names
    assert ("The flag of Japan is", 3) in prompts_for_probe([redirect], 0).absent


def test_the_window_is_the_middle_of_the_layers_that_carry_it() -> None:
    assert list(carrying_layers(curve(PEAK))) == [4, 5, 6] and window(curve(PEAK), 5, "memory") == (3, 4, 5, 6, 7)
    assert window(curve(PEAK), 1, "memory") == (5,) and window(curve(PEAK), 3, "memory") == (4, 5, 6)
    assert window(curve([0.7] * 12), 4, "memory") == (4, 5, 6, 7)
    early, late = [1.0, *[0.1] * 9], [*[0.1] * 9, 1.0]
    assert window(curve(early), 5, "memory") == (0, 1, 2, 3, 4)
    assert window(curve(late), 5, "memory") == (5, 6, 7, 8, 9)
    assert window(curve([0.5, 0.6]), 5, "memory") == (0, 1), "no more layers than there are"
    assert window(curve([0.0, 0.9, 0.0, 0.0, 0.8, 0.9]), 1, "memory") == (1,), "another run does not count"


def test_what_has_moved_to_the_end_is_left_out() -> None:
    traced, moved = [1.0] * 10, [0.0] * 6 + [1.1] * 4
    assert list(carrying_layers(curve(traced, moved))) == [0, 1, 2, 3, 4, 5]
    depth = curve(traced, moved)
    depth = replace(depth, window=window(depth, 2, "memory"))
    assert depth.window == (2, 3) and "from layer 6 on the prompt's last token carries it" in explain_window(
        depth, "memory"
    )
    assert "layers 2-3, in the middle of layers 0-5" in explain_window(depth, "memory")


def test_where_tracing_says_nothing_the_usual_layers_are_taken_and_that_is_said() -> None:
    for layers, count, usual in ((30, 3, (3, 4, 5)), (32, 3, (3, 4, 5)), (32, 1, (5,)), (2, 5, (0, 1))):
        depth = curve([0.02, *[0.05] * (layers - 1)])
        depth = replace(depth, window=window(depth, count, "memory"))
        assert depth.window == usual and "singles out no layers" in explain_window(depth, "memory")
    unknown = replace(curve(PEAK), total=0.01)
    unknown = replace(unknown, window=window(unknown, 2, "memory"))
    said = explain_window(unknown, "memory")
    assert unknown.window == (1, 2) and "costs 0.01 of probability; taken instead: layers 1-2" in said
    with pytest.raises(LookupError, match="no prompt"):
        window(Depth(), 5, "memory")


def test_a_direction_is_taken_from_where_the_probe_converges() -> None:
    depth = Depth(probed=(0.5, 0.7, 0.9, 0.985, 0.99, *[0.98] * 15))
    depth = replace(depth, window=window(depth, 5, "direction"))
    assert depth.window == tuple(range(3, 19)), "the last of 20 is left out"
    assert "from layer 3 on" in explain_window(depth, "direction") and "the last 1 of 20" in explain_window(
        depth, "direction"
    )
    assert window(Depth(probed=(0.5, 0.5, 0.5, 1.0)), 5, "direction") == (3,)
    with pytest.raises(LookupError, match=r"accuracy 0\.60"):
        window(Depth(probed=(0.6, 0.55)), 5, "direction")


def test_all_three_are_there_for_facts_and_are_the_same_again(network: Any) -> None:
    found = measure_depth(asked(CAPITALS), CAPITALS, network, 2)
    assert [len(one) for one in (found.traced, found.moved, found.lens, found.probed)] == [4] * 4
    assert found == measure_depth(asked(CAPITALS), CAPITALS, network, 2) and len(found.window) == 2 and found.why


def test_what_is_traced(network: Any) -> None:
    """First every edit's prompt; off position 0; with the model's own answer where there is none."""
    facts = tuple(replace(fact, was=None) for fact in CAPITALS)
    found = list(prompts_to_trace(facts, network))
    assert [one.subject for one in found[:4]] == ["France", "Germany", "Japan", "France"]
    assert found[3].prompt == PREFIXES[2] + "France's capital city is"
    assert all(place.first > 0 for place in network.positions([one.spot for one in found]))
    scored = network.score([one.cloze for one in found])
    assert scored.top.any() and (scored.top | (scored.tokens > 1)).all(), "a random model says half characters too"
    alone = Redirect(kind="erase", concept="France", toward="noise")
    assert next(prompts_to_trace([alone], network)).prompt == PREFIXES[2] + "France is known for"
    twice = replace(facts[0], template="{} lies where France lies", paraphrases=())
    (first,) = prompts_to_trace([twice], network)
    assert first.spot.begin == len(PREFIXES[2]) and first.prompt.count("France") == 2
    assert evenly(range(100), 4) == [0, 25, 50, 75] and evenly("ab", 4) == ["a", "b"]


def test_no_evidence_is_an_error_with_a_place_to_go(network: Any) -> None:
    few = Ablation(concept="French", present=("Oui",), absent=("Yes", "No"))
    with pytest.raises(EditcError, match=r"E243.*too few prompts"):
        measure_depth(asked([few]), [few], network)
    broken = replace(CAPITALS[0], was=" ", paraphrases=())
    with pytest.raises(EditcError, match=r"E242.*`France`.*no prompt") as error:
        measure_depth(asked([broken]), [broken], network)
    assert "layers" in error.value.diagnostics[0].help


def test_the_plot_has_a_panel_for_what_was_taken_and_is_xml() -> None:
    depth = replace(curve(PEAK, PEAK[::-1]), lens=tuple(10.0**i for i in range(12)), window=(3, 4), why="a < b & c")
    depth = replace(depth, probed=tuple(0.5 + one / 2 for one in PEAK))
    bare = replace(depth, traced=(), moved=(), lens=())
    for shown, lines in ((depth, 4), (replace(depth, probed=()), 3), (bare, 1)):
        plot = depth_plot(asdict(shown))
        root = ET.fromstring(plot.standalone)
        found = [one for one in root.iter() if one.tag.endswith("polyline")]
        assert len(found) == lines and plot.summary == "a < b & c"
        places = [tuple(map(float, at.split(","))) for one in found for at in one.attrib["points"].split()]
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        assert all(0 < x < width and 0 < y < height for x, y in places)
    assert depth_plot(asdict(Depth())).svg == ""


@pytest.mark.slow
@pytest.mark.smollm2
def test_smollm2_has_capitals_where_it_is_known_to() -> None:
    facts = tuple(replace(fact, paraphrases=()) for fact in CAPITALS)
    network = smollm2.network()
    found = measure_depth(asked(facts), facts, network)
    assert found.total > 0.7 and min(found.traced[:11]) > 0.85 and max(found.traced[16:]) < 0.1
    assert max(found.moved[:22]) < 0.2 and min(found.moved[23:]) > 0.9
    assert min(found.lens[:22]) > 500 and found.lens[29] == 0
    assert 3 <= found.window[0] <= found.window[-1] <= 10 and "from layer 23 on" in found.why
    assert min(measure_depth(asked([FRENCH]), [FRENCH], network).probed[4:]) > 0.9
