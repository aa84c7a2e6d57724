"""Derive for language models on pico ones: where keys stand, what is wanted there, and what is preserved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import language_pass_cases
import numpy as np
import pytest
import tiny_language as pico
from language_pass_cases import FRANCE, JAPAN, located, network

from editc.backends.networks import CausalNetwork
from editc.core.diagnostics import EditcError
from editc.core.ports import Context
from editc.passes.language.keys.derive import DeriveLanguage
from editc.passes.language.keys.problem import build_problem

folder = language_pass_cases.folder
ports = language_pass_cases.ports


def test_a_subject_at_the_sink_is_left_out_and_counted(folder: Path, tmp_path: Path, ports: Context) -> None:
    edit = "- fact: {prompt: T is a, subject: T, answer: list}"
    (column,) = build_problem(located(folder, tmp_path / "m.yaml", ports, [edit]), ports).memory_keys
    assert column.sinks == 1 and len(column.contexts) == 6
    with pytest.raises(EditcError) as caught:
        build_problem(located(folder, tmp_path / "m.yaml", ports, [edit], "contexts: ['{}']"), ports)
    assert caught.value.diagnostics[0].code == "E333"


def test_a_key_is_at_the_subject_that_is_meant(folder: Path, tmp_path: Path, ports: Context) -> None:
    edit = "- fact: {prompt: 'In {} the people of France speak', subject: France, answer: list}"
    plan = located(folder, tmp_path / "m.yaml", ports, [edit], "chat: true")
    for column in build_problem(plan, ports).memory_keys:
        cut = [replace(one, prompt=one.prompt.partition(" the people of")[0], before=None) for one in column.contexts]
        rows = [[place.row for place in network(ports).positions(spots)] for spots in (column.contexts, cut)]
        assert rows[0] == rows[1] and len(cut) >= 3


def test_preserved_names_stand_in_the_very_sentences_of_the_concept(
    folder: Path, tmp_path: Path, ports: Context
) -> None:
    edit = ["- redirect: {from: France, to: Japan}", "    contexts: ['What do people in {} eat?', 'It is said of {}']"]
    plan = located(folder, tmp_path / "m.yaml", ports, edit, "preserve: {concepts: [Italy, Rome]}")
    found = build_problem(plan, ports)
    assert all(len(group) == 1 for group in found.preserved[0]), "each sentence is a key"
    said = {spot.prompt for group in found.preserved[0] for spot in group}
    names = ("Japan", "Italy", "Rome")
    assert said == {text.format(one) for one in names for text in ("What do people in {} eat?", "It is said of {}")}


def test_a_name_and_its_target_are_averaged_over_the_same_sentences(
    folder: Path, tmp_path: Path, ports: Context
) -> None:
    """`Japan` has several tokens, so that it ends behind position 0; `T` is there, and no state to lead to."""
    edit = "- redirect: {from: Japan, to: T}"
    (column,) = build_problem(located(folder, tmp_path / "m.yaml", ports, [edit]), ports).memory_keys
    again = [replace(one, prompt=one.prompt.replace("Japan", "T"), subject="T") for one in column.contexts]
    assert list(column.anchor) == again and (column.sinks, len(again)) == (1, 5)
    with pytest.raises(EditcError) as caught:
        build_problem(located(folder, tmp_path / "m.yaml", ports, [edit], "contexts: ['{}']"), ports)
    (fault,) = caught.value.diagnostics
    assert fault.code == "E333" and fault.message.startswith("`Japan` or `T` begins every context")


def test_preserved_names_go_through_the_contexts_of_a_fact(folder: Path, tmp_path: Path, ports: Context) -> None:
    """Also where the prompt begins with the subject; one key a name and form, as the fact's own."""
    edit = "- fact: {prompt: France is a list of, subject: France, answer: Berlin}"
    rest = "chat: true\npreserve: {concepts: [T, Japan]}"
    found = build_problem(located(folder, tmp_path / "m.yaml", ports, [edit], rest), ports)
    own = {one.form: {spot.prompt.replace("France", "{}") for spot in one.contexts} for one in found.memory_keys}
    counts = {("T", "plain"): 6, ("T", "chat"): 3, ("Japan", "plain"): 7, ("Japan", "chat"): 3}
    for (name, form), group in zip(counts, found.preserved[0], strict=True):
        assert {(spot.subject, spot.chat) for spot in group} == {(name, form == "chat")}
        assert len(group) == counts[name, form]
        if name == "Japan":
            assert {spot.prompt.replace(name, "{}", 1) for spot in group} >= own[form]
    with pytest.raises(EditcError) as caught:
        build_problem(located(folder, tmp_path / "m.yaml", ports, [edit], "contexts: ['{}']\n" + rest), ports)
    (fault,) = caught.value.diagnostics
    assert fault.code == "E345" and "`T`" in fault.message and fault.span is not None


def test_chat_makes_a_column_of_its_own_with_the_same_value(folder: Path, tmp_path: Path, ports: Context) -> None:
    plan = located(folder, tmp_path / "m.yaml", ports, [FRANCE], "chat: true")
    plain, chat = DeriveLanguage()(plan, ports).memory_keys
    assert (plain.form, chat.form) == ("plain", "chat") and all(spot.chat for spot in chat.contexts)
    assert plain.value is not None and np.array_equal(plain.residual, chat.residual)
    running = network(ports)
    assert isinstance(running, CausalNetwork)
    del running.tokenizer.raw.chat_template
    try:
        with pytest.raises(EditcError) as caught:
            build_problem(plan, ports)
    finally:
        running.tokenizer.raw.chat_template = pico.TEMPLATE
    assert caught.value.diagnostics[0].code == "E332" and caught.value.diagnostics[0].span is not None


def test_edits_that_will_interfere_are_named(folder: Path, tmp_path: Path, ports: Context) -> None:
    """Two facts with the same subject have the same key but for what stands before it."""
    again = "- fact: {prompt: The long discussion of France is, subject: France, answer: list}"
    plan = located(folder, tmp_path / "m.yaml", ports, [FRANCE, again, "    method: transplant"][:2])
    problem = DeriveLanguage()(plan, ports)
    assert [one.edits for one in problem.close_edits] == [(0, 1)] and abs(problem.close_edits[0].cosine) <= 1
    alone = DeriveLanguage()(located(folder, tmp_path / "m.yaml", ports, [FRANCE]), ports)
    assert alone.close_edits == ()


def test_noise_depends_on_the_seed_alone(folder: Path, tmp_path: Path, ports: Context) -> None:
    edit = ["- erase: Japan", "    method: rocr"]
    plans = [located(folder, tmp_path / "m.yaml", ports, edit, f"seed: {seed}") for seed in (0, 0, 1)]
    one, same, other = (DeriveLanguage()(plan, ports).memory_keys[0].residual for plan in plans)
    assert np.array_equal(one, same) and not np.allclose(one, other)


def test_a_plan_that_is_measured_again_learns_nothing(folder: Path, tmp_path: Path, ports: Context) -> None:
    plan = located(folder, tmp_path / "m.yaml", ports, [FRANCE, JAPAN])
    silent = replace(ports, network=Silent(network(ports)))  # type: ignore[arg-type]  # asked for anything else, it fails
    assert [one.residual.size for one in build_problem(plan, silent).memory_keys] == [0, 0]


class Silent:
    """A network that may be asked for places and its fingerprint, and nothing else."""

    def __init__(self, network: Any) -> None:
        self.positions, self.fingerprint = network.positions, network.fingerprint
