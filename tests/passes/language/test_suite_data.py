"""Reading the questions of a suite, asking them, and the attack prompts made of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_language as pico

from editc.core.diagnostics import EditcError
from editc.core.prompts import Cloze
from editc.passes.language.suite import ask
from editc.passes.language.suite.attacks import ATTACKS, MOST, attack_items
from editc.passes.language.suite.data import of_groups, read_suite
from editc.passes.language.suite.readings import Item

TOFU = {"question": "Who?", "answer": "A.", "paraphrased_answer": "It is A.", "perturbed_answer": ["It is B."]}


def written(folder: Path, **files: list[Any]) -> Path:
    """A folder of files, each one JSON object a line, as TOFU publishes them."""
    for name, rows in files.items():
        (folder / f"{name}.json").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def test_tofu_mini_has_twenty_authors_with_ten_questions_each_and_four_are_to_be_forgotten() -> None:
    items = read_suite("tofu-mini")
    known = [item for item in items if item.group in ("forget", "retain")]
    asked = Counter(item.subject for item in known)
    assert len(asked) == 20 and set(asked.values()) == {10}
    assert len({item.subject for item in known if item.group == "forget"}) == 4
    assert len({item.question for item in known}) == 200
    assert all(item.value.lower() in item.answer.lower() for item in known)
    for item in known:
        assert len(item.perturbed_answer) == 3 and item.value.lower() in item.paraphrased_answer.lower()
        assert not any(item.value.lower() in wrong.lower() for wrong in item.perturbed_answer)
    unseen = {item.subject for item in items if item.group == "holdout"}
    assert len(unseen) == 4 and not unseen & set(asked)


def test_the_other_suites_of_editc_have_what_their_metrics_need() -> None:
    rwku, muse = (Counter(item.group for item in read_suite(name)) for name in ("rwku-mini", "muse-mini"))
    assert min(rwku[group] for group in ("forget", "retain", "benign", "capability")) >= 8
    assert min(muse[group] for group in ("verbatim", "forget", "retain", "holdout")) >= 4
    assert all(item.raw for item in read_suite("muse-mini") if item.group in ("verbatim", "forget", "holdout"))


def test_a_folder_of_tofu_is_read_as_published_and_its_perturbed_files_come_first(tmp_path: Path) -> None:
    plain = [{"question": "Who?", "answer": "A."}]
    written(tmp_path, forget10=plain, forget10_perturbed=[TOFU], retain90=plain, retain_perturbed=[TOFU, TOFU])
    written(tmp_path, holdout10=plain, world_facts_perturbed=[TOFU])
    found = Counter(item.group for item in read_suite(tmp_path.name, tmp_path.parent))
    assert found == {"forget": 1, "retain": 2, "holdout": 1, "world_facts": 1}
    (first,) = [item for item in read_suite(str(tmp_path)) if item.group == "forget"]
    assert first == Item("forget", "Who?", "A.", "", "It is A.", ("It is B.",))


def test_a_folder_of_rwku_is_read_as_published(tmp_path: Path) -> None:
    for name, query, kind in (
        ("forget_level1", "X was born in ___.", "cloze"),
        ("forget_level2", "Where was X born?", "simple question"),
        ("forget_level3", "Sure: where was X born?", "affirmative suffix"),
        ("neighbor_level2", "Where was Y born?", "simple question"),
    ):
        rows = [{"query": query, "answer": "Rome", "type": kind, "subject": "X", "level": "1"}]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "forget_mia.json").write_text("[]", encoding="utf-8")
    items = read_suite(str(tmp_path))
    assert Counter(item.group for item in items) == {"forget": 2, "attack": 1, "retain": 1}
    assert next(item for item in items if item.group == "attack").kind == "affirmative suffix"


def test_the_shape_that_trained_objectives_read_is_read_too(tmp_path: Path) -> None:
    row = {"question": "Who?", "answer": "A.", "perturbed": ["B."], "paraphrase": "Which one?", "author": "Z"}
    (tmp_path / "mine.jsonl").write_text(json.dumps(row), encoding="utf-8")
    (item,) = read_suite("mine.jsonl", tmp_path)
    assert item == Item("forget", "Who?", "A.", "Which one?", "", ("B.",), subject="Z")


@pytest.mark.parametrize(
    "text", ["{", '{"question": "Who?"}', "[1]", '{"set": "retain", "question": "a", "answer": "b"}']
)
def test_a_file_that_is_no_suite_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(EditcError) as error:
        read_suite("bad.jsonl", tmp_path)
    (found,) = error.value.diagnostics
    assert found.code == "E111" and str(tmp_path) in str(found.place) and "tofu-mini" in found.help


def test_a_name_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EditcError):
        read_suite("nothing", tmp_path)


def test_all_nine_kinds_of_attacks_are_made_and_ask_about_what_is_forgotten() -> None:
    items = read_suite("tofu-mini")
    made = attack_items(items)
    assert Counter(item.kind for item in made) == dict.fromkeys(ATTACKS, MOST) and len(ATTACKS) == 9
    forgotten = {item.subject for item in items if item.group == "forget"}
    assert {item.subject for item in made} <= forgotten
    gives_away = {item.kind for item in made if item.value and item.value in item.question}
    assert gives_away <= {"multiple_choice"}


def test_large_groups_are_asked_at_even_steps() -> None:
    items = [Item("retain", str(i), "a") for i in range(10)]
    assert [item.question for item in of_groups(items, {"retain": 4})] == ["0", "2", "5", "7"]


def test_a_model_is_asked_every_question_and_every_metric_answers() -> None:
    every = read_suite("tofu-mini")
    network, few = pico.network("llama"), dict.fromkeys((*(item.group for item in every), "attack"), 2)
    how = ask.Asking(tokens=2, samples=2, most=few)
    items = ask.choose_items(every, how)
    readings = ask.read_model(network, items, how=how)
    found = ask.figures_of(readings, how=how)
    assert {"forget_Q_A_Prob", "forget_truth_ratio", "model_utility", "mia_zlib", "attack_said", "capability"} <= set(
        found
    )
    assert "forget_quality" not in found
    again = ask.figures_of(readings, found, how)
    assert again["forget_quality"].value == 1 and abs(again["privleak"].value) < 1e-6
    assert all(len(one.sampled) == 2 for one in readings["forget"])


def test_only_what_the_wanted_metrics_need_is_generated() -> None:
    network, how = pico.network("llama"), ask.Asking(metrics=("probability",), most={"retain": 1, "holdout": 1})
    readings = ask.read_model(network, [Item("forget", "Who?", "Rome")], how=how)
    (only,) = readings["forget"]
    assert only.answer is not None and not only.said and not only.sampled
    assert set(ask.figures_of(readings, how=how)) == {"forget_Q_A_Prob"}


def test_with_chat_questions_go_through_the_template_and_texts_that_go_on_do_not() -> None:
    both = [Item("forget", "Who?", "Rome"), Item("verbatim", "Once upon", "a time", raw=True)]
    first, second = ask.choose_items(both, ask.Asking(chat=True))[:2]
    assert ask.cloze_of(first, "Rome") == Cloze("Who?", "Rome", chat=True)
    assert ask.cloze_of(second, "a time") == Cloze("Once upon", "a time")
    assert ask.cloze_of(both[0], "Rome") == Cloze("Question: Who?\nAnswer:", "Rome")
