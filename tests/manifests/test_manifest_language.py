"""What a good manifest of a language model becomes, from which files, and what tells it from an image model's."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from manifest_cases import load_case
from places import DOCS, EXAMPLES
from safetensors.numpy import save_file

from editc import api
from editc.core.language_edits import Ablation, Fact, PromptAnswer, Redirect
from editc.core.manifest import Constraints, Manifest
from editc.core.places import ManifestBlock, Source
from editc.manifests.decode import decode, decode_file, digest, load
from editc.manifests.kinds import KindName
from editc.manifests.overrides import add_overrides
from editc.passes.emit import attached_files
from editc.registry.methods import METHODS

LANGUAGE_EXAMPLES = sorted((EXAMPLES / "language").glob("*.yaml"))
HEAD = "editc: 1\nmodel: m\nedits:\n"
FACT = "  - fact: {prompt: The capital of France is, subject: France, answer: London}\n"


def decoded(text: str, *overrides: str, kind: KindName | None = None) -> Manifest:
    """The manifest, which must have no error."""
    manifest, found = decode(add_overrides(Source("m.yaml", text), overrides), kind=kind)
    assert manifest is not None, found
    return manifest


def spoken(text: str, *overrides: str) -> Manifest:
    manifest = decoded(text, *overrides)
    assert manifest.kind == "language"
    return manifest


def codes(text: str, kind: KindName | None = None) -> list[str]:
    return [one.code for one in decode(Source("m.yaml", text), kind=kind)[1]]


def under(manifest: Manifest, block: ManifestBlock, name: str) -> str:
    """The characters at the place of a field."""
    span = block.at(name)
    assert span is not None
    return manifest.source.line(span.line)[span.column - 1 :][: span.length]


def test_everything_arrives_where_it_belongs() -> None:
    manifest = load_case("language_well")
    language = manifest
    assert manifest.kind == "language"
    tower, france, potter, milo, nintendo, french = language.edits
    assert isinstance(tower, Fact) and isinstance(france, Fact)
    assert (tower.prompt, tower.template) == (
        "The Eiffel Tower is located in the city of",
        "{} is located in the city of",
    )
    assert (tower.subject, tower.answer, tower.was, tower.strength) == ("The Eiffel Tower", "Rome", "Paris", 0.9)
    assert tower.paraphrases[1] == "To see The Eiffel Tower, travel to"
    assert tower.neighbours[1:] == (
        PromptAnswer("The Colosseum is located in the city of", "Rome"),
        PromptAnswer("The Kremlin is located in the city of"),
    )
    assert (tower.method, dict(tower.options)) == ("memit", {"lamb": 2.0})
    assert france.template == "The capital of {} is" and france.was is None
    assert france.paraphrases[1] == "The seat of the government of France is"
    assert isinstance(potter, Redirect) and isinstance(milo, Redirect) and isinstance(nintendo, Redirect)
    assert (potter.kind, potter.names, potter.to) == (
        "redirect",
        ("Harry Potter", "The boy who lived"),
        "Sherlock Holmes",
    )
    assert potter.relations[0] == PromptAnswer("{} goes to a school called", "Hogwarts")
    assert potter.contexts == ("Tell me about {}",)
    assert (potter.toward, milo.toward, nintendo.toward) == ("anchor", "refusal", "noise")
    assert (milo.to, dict(milo.options), nintendo.kind) == (None, {"energy": 0.2}, "erase")
    assert nintendo.relations == (PromptAnswer("{} is a company from"), PromptAnswer("The home of {} is"))
    assert isinstance(french, Ablation) and french.present == ("Le chat dort.", "Le chien aboie.")
    assert (french.absent, dict(french.options)) == (("The cat sleeps.", "The dog barks."), {"scale": 0.5})
    assert language.facts == (tower, france) and language.redirects == (potter, milo, nintendo)
    assert language.ablations == (french,)
    assert language.corpus is not None and language.corpus.text.startswith("A language model")
    assert language.chat and language.retain[1] == "Music is made of sounds."
    assert (manifest.sites.layers, manifest.sites.roles) == ((4, 5, 6), ("mlp", "attention"))
    assert manifest.constraints == Constraints(
        rank=16, efficacy=1.0, paraphrase=0.9, neighbourhood=0.85, retain_kl=0.02, retain_top1=0.95
    )
    assert (manifest.contexts, manifest.emit, manifest.seed) == (("{}", "As is well known, {}"), ("safetensors",), 3)


def test_every_field_knows_its_place() -> None:
    manifest = load_case("language_well")
    language = manifest
    tower, _, potter, *_, french = language.edits
    assert under(manifest, tower, "subject") == "The Eiffel Tower"
    assert under(manifest, tower, "template") == '"{} is located in the city of"'
    assert under(manifest, tower, "paraphrases.0") == "Visitors of the Eiffel Tower arrive in"
    assert under(manifest, tower, "neighbours.2") == "landmarks.tsv", "a line of a file has the place of its name"
    assert under(manifest, tower, "lamb") == "2"
    assert under(manifest, potter, "also.0") == "The boy who lived"
    assert under(manifest, french, "absent.1") == "The dog barks."
    assert under(manifest, language, "corpus") == "corpus.prompts"
    assert under(manifest, language, "retain.1") == "Music is made of sounds."
    assert under(manifest, manifest.sites, "layers.1") == "4-6"
    assert under(manifest, manifest.constraints, "retain_kl") == "0.02"


@pytest.mark.parametrize("path", LANGUAGE_EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_sound_and_asks_for_something_that_can_fail(path: Path) -> None:
    manifest, found = decode_file(path)
    assert manifest is not None and manifest.kind == "language" and not found
    assert any(getattr(manifest.constraints, name) is not None for name in vars(Constraints()) if name != "spans")


def test_the_example_in_the_docs_is_sound() -> None:
    page = (DOCS / "reference" / "manifest.md").read_text(encoding="utf-8")
    (text,) = [one for one in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "- fact:" in one]
    _, found = decode(Source("manifest.md", text))
    assert not found
    assert {edit.kind for edit in spoken(text).edits} == {"fact", "redirect", "erase", "ablate"}


def test_examples_of_every_kind_of_edit() -> None:
    edits = [edit.kind for path in LANGUAGE_EXAMPLES for edit in load(path).edits]
    assert set(edits) == {"fact", "redirect", "erase", "ablate"}


def test_what_a_delta_records_gives_the_same_manifest_without_files() -> None:
    built = load_case("language_well")
    language = built
    assert language.corpus is not None
    assert set(language.files) == {"landmarks.tsv", "paraphrases.prompts", "relations.tsv", "french.prompts"}
    again, _ = decode(built.source, recorded=json.loads(json.dumps(attached_files(built))))
    assert again == built and again is not None and again.digest == built.digest


def test_the_digest_covers_what_is_in_files(tmp_path: Path) -> None:
    text = HEAD + FACT.replace("}", ", paraphrases: p.txt}") + "corpus: c.txt\n"
    (tmp_path / "m.yaml").write_text(text)
    seen = set()
    for prompts, corpus in (("one", "text"), ("two", "text"), ("one", "other")):
        (tmp_path / "p.txt").write_text(prompts)
        (tmp_path / "c.txt").write_bytes(b"\xef\xbb\xbf" + corpus.encode())
        seen.add(load(tmp_path / "m.yaml").digest)
    assert len(seen) == 3
    plain = decoded(HEAD + FACT)
    assert plain.digest == digest(plain.source), "a manifest without files has the digest of its text"


def test_without_a_folder_files_are_not_read() -> None:
    language = spoken(HEAD + FACT.replace("}", ", paraphrases: p.txt}") + "corpus: c.txt\nretain: r.txt\n")
    assert language.facts[0].paraphrases == () and language.retain == () and language.files == {}
    assert language.corpus is not None and language.corpus.text == ""


MARKS = ["method: rocr", "method: transplant\n    to: b", "toward: noise", 'relations: ["{} is"]', "neighbours: [a]"]
TOPS = ["corpus: c.txt", "chat: false", "retain: [a]", "sites: {layers: 3}", "constraints: {retain_kl: 1}"]


@pytest.mark.parametrize("mark", [*(f"    {mark}" for mark in MARKS), *TOPS])
def test_erase_is_a_language_model_s_where_something_else_is(mark: str) -> None:
    (edit,) = spoken(f"{HEAD}  - erase: a\n{mark}\n").edits
    assert isinstance(edit, Redirect) and edit.kind == "erase"


def test_erase_alone_is_read_as_the_model_asks() -> None:
    text = HEAD + "  - erase: a\n    to: b\n"
    assert decoded(text).kind == "image" and decoded(text).image_edits[0].to == "b"
    language = decoded(text, kind="language")
    assert language.redirects[0].to == "b" and language.redirects[0].toward == "anchor"
    assert codes(text + "    keys: aligned\n") == [] and codes(text + "    keys: aligned\n", kind="language") == [
        "E185"
    ]
    assert codes(text + "constraints: {erase_residual: 0.5}\n", kind="language") == ["E185"]


def test_overrides_reach_the_edits() -> None:
    language = spoken(HEAD + FACT, "edits.0.fact.answer=Madrid", "edits.0.method=rome", "chat=true")
    assert (language.facts[0].answer, language.facts[0].method, language.chat) == ("Madrid", "rome", True)


@pytest.mark.parametrize(
    ("prompt", "subject", "template"),
    [
        ("日本の首都は", "日本", "{}の首都は"),
        ("France's capital is", "France", "{}'s capital is"),
        ("Frances met France in", "France", "Frances met {} in"),
        ("The price of C++ is", "C++", "The price of {} is"),
        ("Route 66 and Route 6 meet in", "Route 6", "Route 66 and {} meet in"),
        ("x {y} and Élan is", "Élan", "x {y} and {} is"),
    ],
)
def test_the_subject_is_found_as_a_whole_word(prompt: str, subject: str, template: str) -> None:
    fact = spoken(f'{HEAD}  - fact: {{prompt: "{prompt}", subject: "{subject}", answer: x}}\n').facts[0]
    assert (fact.template, fact.prompt) == (template, prompt)


@pytest.mark.parametrize(
    ("prompt", "subject"), [("Frances is", "France"), ("aFrance is", "France"), ("Route 66 is", "Route 6"), ("a", "b")]
)
def test_a_part_of_a_word_is_no_subject(prompt: str, subject: str) -> None:
    assert codes(f'{HEAD}  - fact: {{prompt: "{prompt}", subject: "{subject}", answer: x}}\n') == ["E186"]


def test_a_subject_with_its_accent_in_another_way_is_told_so() -> None:
    """Both look the same on a screen, so "as the prompt has it" would tell nothing."""
    text = f'{HEAD}  - fact: {{prompt: "Beyonce\u0301 is", subject: "Beyonc\u00e9", answer: x}}\n'
    (found,) = decode(Source("m.yaml", text))[1]
    assert found.code == "E186" and "copy the subject from the prompt" in found.help


@pytest.mark.parametrize(
    ("written", "layers"),
    [("4-6", (4, 5, 6)), ("5", (5,)), ("[9, 4-6, 5]", (4, 5, 6, 9)), ("4 - 5", (4, 5)), ("[0]", (0,)), ("7-7", (7,))],
)
def test_layers(written: str, layers: tuple[int, ...]) -> None:
    choice = decoded(f"{HEAD}{FACT}sites: {{layers: {written}}}\n").sites
    assert choice.layers == layers and choice.auto is None


def test_automatic_layers_are_automatic_sites() -> None:
    word, inner = (decoded(f"{HEAD}{FACT}sites: {what}\n").sites for what in ("auto", "{layers: auto}"))
    assert word == inner and word.auto is not None and word.layers == ()


def test_methods_of_one_kind_of_edit_agree_and_those_of_others_need_not() -> None:
    redirect = "  - redirect: {from: a, to: b}\n    method: rocr\n"
    assert codes(HEAD + FACT + "    method: rome\n" + redirect) == []
    assert codes(HEAD + redirect + "  - erase: c\n    to: d\n    method: transplant\n") == ["E133"]


def test_a_prompt_in_two_spellings_is_one_edit() -> None:
    again = '  - fact: {prompt: "The capital of {} is", subject: France, answer: Rome}\n'
    assert codes(HEAD + FACT + again) == ["E120"]
    assert codes(HEAD + FACT + again.replace("capital", "money")) == []


def test_check_goes_as_far_as_the_model(tmp_path: Path) -> None:
    llama = tmp_path / "llama"
    llama.mkdir()
    (llama / "config.json").write_text('{"model_type": "llama"}')
    save_file({"model.layers.0.mlp.down_proj.weight": np.zeros((2, 3), np.float32)}, llama / "model.safetensors")
    for model in ("editc:demo", "llama"):
        (tmp_path / "m.yaml").write_text((HEAD + FACT).replace("model: m", f"model: {model}"))
        checked = api.check(tmp_path / "m.yaml")
        assert [one.code for one in checked.diagnostics] == ["E206"] and checked.plan is None
        assert "language model" in checked.diagnostics[0].message


@pytest.mark.parametrize("name", METHODS.names("language"))
def test_every_method_for_language_models_is_explained(name: str) -> None:
    assert f"method {name}\n" in api.explain(name)


def test_language_is_compared_by_its_corpus_and_not_by_its_text() -> None:
    language = load_case("language_well")
    assert language.corpus is not None
    assert replace(language, corpus=replace(language.corpus, text="")) == language
    assert replace(language, corpus=replace(language.corpus, sha256="0")) != language


def test_a_bare_denominator_is_for_one_key() -> None:
    """E132 at the option, with what makes the keys several; `editc check` knows it without the model."""
    bare = FACT + "    method: rome\n    denominator: bare\n"
    other = "  - fact: {prompt: The capital of Japan is, subject: Japan, answer: Rome}\n"
    assert codes(HEAD + bare) == [] == codes(HEAD + bare.replace("bare", "mean") + other + "chat: true\n")
    for text, why in ((bare + "chat: true\n", "chat: true"), (bare + other, "2 facts")):
        manifest, found = decode(Source("m.yaml", HEAD + text))
        assert manifest is None and [one.code for one in found] == ["E132"]
        assert why in found[0].message and found[0].span is not None and found[0].span.line == 6


@pytest.mark.parametrize("method", ["alphaedit", "rocr"])
def test_energy_is_a_share(method: str) -> None:
    edit = FACT if method == "alphaedit" else "  - redirect: {from: France, to: Japan}\n"
    for energy, fine in (
        ("1.5", False),
        ("1.0000001", False),
        ("0", False),
        ("-0.1", False),
        ("1", True),
        ("0.2", True),
    ):
        text = f"{HEAD}{edit}    method: {method}\n    energy: {energy}\n"
        assert codes(text) == ([] if fine else ["E132"]), energy
