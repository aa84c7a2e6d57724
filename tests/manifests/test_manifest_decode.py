"""What a good manifest becomes: values by declared type, defaults, places, overrides, the digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import manifest_methods
import pytest
from manifest_cases import load_case

from editc.core.diagnostics import EditcError, fail
from editc.core.manifest import Constraints, Manifest, Preserve, Sites
from editc.core.places import ManifestBlock, Source
from editc.manifests.decode import decode, decode_file, digest, load
from editc.manifests.overrides import add_overrides

HEAD = "editc: 1\nmodel: editc:demo\n"
LEAST = HEAD + "edits:\n  - erase: circle\n"


@pytest.fixture(autouse=True)
def standin(monkeypatch: pytest.MonkeyPatch) -> None:
    manifest_methods.stand_in(monkeypatch)


def decoded(text: str, *overrides: str) -> Manifest:
    """The manifest, which must have no error."""
    manifest, found = decode(add_overrides(Source("m.yaml", text), overrides))
    assert manifest is not None, found
    return manifest


def under(manifest: Manifest, block: ManifestBlock, name: str) -> str:
    """The characters at the place of a field."""
    span = block.at(name)
    assert span is not None
    return manifest.source.line(span.line)[span.column - 1 :][: span.length]


def test_defaults_are_those_of_the_dataclasses() -> None:
    manifest = decoded(LEAST)
    assert (manifest.preserve, manifest.sites, manifest.constraints) == (Preserve(), Sites(), Constraints())
    assert (manifest.images, manifest.emit, manifest.seed, manifest.contexts) == (None, (), 0, None)
    assert manifest.image_edits[0].names == ("circle",)
    assert (manifest.image_edits[0].strength, manifest.image_edits[0].scale, manifest.image_edits[0].to) == (
        1.0,
        1.0,
        None,
    )


def test_everything_arrives_where_it_belongs() -> None:
    manifest = load_case("all_well")
    erase, swap, balance = manifest.image_edits
    assert (erase.kind, erase.concept, erase.also, erase.to) == ("erase", "circle", ("disc", "round shape"), "shape")
    assert (erase.method, dict(erase.options), erase.keys, erase.strength, erase.scale) == (
        "rece", {"epochs": 3}, "aligned", "auto", 2.0,
    )  # fmt: skip
    assert (swap.kind, swap.concept, swap.to) == ("replace", "Milo", "a person")
    assert (balance.concept, balance.toward) == ("doctor", (("woman", 0.5), ("man", 0.5)))
    assert manifest.preserve.prompts == ("a red square",) and manifest.preserve.weight == 0.5
    assert manifest.preserve_lines == ("a red square", "a blue square")
    assert manifest.contexts == ("a photo of {}", "{}")
    assert manifest.constraints == Constraints(
        erase_residual=0.2, preserve_drift=0.1, unconditional_drift=0.02, rank=64
    )
    assert manifest.images is not None and manifest.images.prompts_per_concept == 20
    assert (manifest.emit, manifest.seed) == (("safetensors", "kohya"), 7)
    assert (manifest.method, dict(manifest.options)) == ("rece", {"epochs": 3})


@pytest.mark.parametrize(
    "word", ["no", '"null"', '"~"', "1e3", "2024-01-01", "0x10", "true", "1:30", ".inf", "0777", "=", "on"]
)
def test_a_text_field_stays_text(word: str) -> None:
    assert decoded(HEAD + f"edits: [{{erase: {word}}}]\n").image_edits[0].concept == word.strip('"')


@pytest.mark.parametrize(("written", "value"), [("1e-3", 0.001), (".5", 0.5), ("2", 2.0), ("1.", 1.0), ("+1E+0", 1.0)])
def test_a_number_field_reads_numbers_as_people_write_them(written: str, value: float) -> None:
    assert decoded(LEAST + f"constraints: {{preserve_drift: {written}}}\n").constraints.preserve_drift == value


def test_names_lose_the_spaces_around_them_and_prompts_keep_theirs() -> None:
    manifest = decoded(HEAD + 'edits: [{erase: " circle "}]\npreserve: {prompts: [" a square "]}\n')
    assert manifest.image_edits[0].concept == "circle"
    assert manifest.preserve.prompts == (" a square ",)


def test_every_field_knows_its_place() -> None:
    manifest = load_case("all_well")
    erase, swap, balance = manifest.image_edits
    assert under(manifest, erase, "concept") == "circle"
    assert under(manifest, erase, "also.1") == "round shape"
    assert under(manifest, erase, "epochs") == "3"
    assert under(manifest, erase, "epochs:") == "epochs"
    assert under(manifest, erase, "") == "erase: circle"
    assert under(manifest, swap, "to") == "a person"
    assert under(manifest, balance, "toward.1") == "man"
    assert under(manifest, manifest.constraints, "preserve_drift") == "0.1"
    assert under(manifest, manifest.preserve, "concepts.1") == "triangle"
    assert under(manifest, manifest, "model") == "editc:demo"
    assert manifest.images is not None
    assert under(manifest, manifest.images, "erased_at_most") == "0.02"
    assert under(manifest, manifest, "images").startswith("{detector")


def test_overrides_win_and_know_their_place() -> None:
    manifest = decoded(LEAST, "constraints.rank=8", "edits.0.also=[disc]", "seed=3", "seed=4")
    assert (manifest.constraints.rank, manifest.image_edits[0].also, manifest.seed) == (8, ("disc",), 4)
    span = manifest.constraints.at("rank")
    assert span is not None and manifest.source.is_override(span)
    assert manifest.source.line(span.line) == "--set constraints.rank=8"
    assert under(manifest, manifest.constraints, "rank") == "8"
    assert under(manifest, manifest.image_edits[0], "also.0") == "disc"


def test_overrides_can_make_the_whole_manifest() -> None:
    manifest = decoded("", "editc=1", "model=editc:demo", "edits=[{erase: circle}]")
    assert manifest.image_edits[0].concept == "circle"


def test_aliases_are_values_like_others() -> None:
    manifest = decoded(HEAD + "edits:\n  - erase: &c circle\n    also: [disc]\npreserve: {prompts: [*c]}\n")
    assert manifest.preserve.prompts == ("circle",)


def test_the_same_edit_twice_through_an_alias_is_still_twice() -> None:
    _, found = decode(Source("m.yaml", HEAD + "edits:\n  - erase: &c circle\n  - erase: *c\n"))
    assert [one.code for one in found] == ["E120"]


def test_digest_is_the_sha256_of_the_file_and_changes_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(LEAST.replace("\n", "\r\n").encode())
    plain = load(path)
    assert plain.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(path, ["seed=1"]).digest not in (plain.digest, load(path, ["seed=2"]).digest)
    assert digest(plain.source) == plain.digest


def test_load_raises_everything_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(LEAST + "constraints: {rank: 0, rnk: 1}\nseed: x\n")
    with pytest.raises(EditcError) as caught:
        load(path)
    assert [one.code for one in caught.value.diagnostics] == ["E106", "E102", "E105"]


def test_warnings_come_with_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(LEAST + "    also: [disc, disc]\n")
    manifest, found = decode_file(path)
    assert manifest is not None and [(one.code, one.severity) for one in found] == [("E124", "warning")]
    assert load(path) == manifest


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"editc: 1\nmodel: caf\xe9\n", "line 2"),
        (b"\xff\xfee\0d\0", "line 1"),
        (None, "No such file"),
        ("dir", "directory"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, data: bytes | str | None, said: str) -> None:
    path = tmp_path / "m.yaml"
    if data == "dir":
        path.mkdir()
    elif isinstance(data, bytes):
        path.write_bytes(data)
    with pytest.raises(EditcError) as caught:
        decode_file(path)
    (one,) = caught.value.diagnostics
    assert one.code == "E100" and said in one.message and one.place == str(path)


def test_a_file_larger_than_a_mebibyte(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(LEAST + "#" * (1 << 20))
    assert [one.code for one in decode_file(path)[1]] == ["E109"]
    path.write_bytes(b"# " + "é".encode() * (1 << 20))
    assert [one.code for one in decode_file(path)[1]] == ["E109"]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + LEAST.encode())
    assert load(path).at("editc") == decoded(LEAST).at("editc")


def test_files_of_prompts_are_looked_for_beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "kept.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\n  two \r\n")
    (folder / "m.yaml").write_text(LEAST + "preserve: {files: [kept.txt]}\n")
    monkeypatch.chdir(tmp_path)
    assert load("inner/m.yaml").preserve_lines == ("one", "two")
    assert decoded(LEAST + "preserve: {files: [nowhere.txt]}\n").preserve_lines == ()


def test_what_a_method_has_against_its_options_is_shown_at_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise fail("E401", "epochs and lamb do not go together", help="choose one")

    monkeypatch.setattr("editc.registry.options.construct", refuse)
    _, found = decode(Source("m.yaml", LEAST + "    method: rece\n    epochs: 2\n"))
    (one,) = found
    assert (one.code, one.help) == ("E132", "choose one") and "do not go together" in one.message
    assert one.span is not None and one.span.line == 6
