"""What installed packages add to the tables: it works like editc's own, and where it is broken nobody else notices."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_package
from click.testing import CliRunner
from numpy.typing import NDArray
from safetensors.numpy import save_file

from editc import api
from editc.cli import cli, terminal
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.places import Source
from editc.formats.models.model import open_model
from editc.manifests.decode import decode, decode_file
from editc.opening.target import Target
from editc.passes.images.attacks.attack import Case
from editc.registry import table
from editc.registry.attacks import ATTACKS
from editc.registry.detectors import DETECTORS
from editc.registry.families import FAMILIES
from editc.registry.formats import FORMATS
from editc.registry.key_rules import KEY_RULES
from editc.registry.methods import METHODS

TABLES = (METHODS, KEY_RULES, FAMILIES, FORMATS, ATTACKS, DETECTORS)
DELTA = "tests/fixtures/deltas/v1/shared.safetensors"
BASE = "tests/fixtures/deltas/v1/base"
SOUND = "editc: 1\nmodel: editc:demo\nedits: [{erase: circle, to: square}]\n"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    table._entry_points.cache_clear()
    yield
    table._entry_points.cache_clear()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """editc-toy, as if it were installed."""
    toy_package.pretend_installed(tmp_path / "site", monkeypatch)
    return tmp_path


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that adds a name to every table, and cannot be imported."""
    groups = "".join(f"[{one.group}]\nbroken = no_such_module_of_anybody:THING\n" for one in TABLES)
    toy_package.put_beside(tmp_path / "site", "their-package", groups)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return tmp_path


def said(error: pytest.ExceptionInfo[EditcError]) -> str:
    (found,) = error.value.diagnostics
    assert found.code == "E139"
    return found.message


def errors(manifest: Path) -> list[Diagnostic]:
    try:
        found = api.check(manifest).diagnostics
    except EditcError as error:
        found = error.diagnostics
    return [one for one in found if one.is_error]


@pytest.mark.parametrize("one", TABLES, ids=lambda one: one.noun)
def test_a_broken_plugin_is_named_with_its_package(broken: Path, one: table.Table) -> None:
    assert "broken" in one.names()
    with pytest.raises(EditcError) as caught:
        one.resolve("broken")
    assert said(caught).startswith(f"the {one.noun} `broken` of the package their-package cannot be imported")
    assert "broken" not in dict(one.each())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["export", "--help"],
        ["apply", DELTA, "--to", BASE, "--dry-run"],
        ["explain", "uce"],
        ["explain", "kohya"],
        ["explain", "sd1"],
        ["inspect", DELTA],
        ["status", BASE],
    ],
    ids=" ".join,
)
def test_nobody_else_notices_a_broken_plugin(broken: Path, arguments: list[str]) -> None:
    ran = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert ran.exception is None and "broken" not in ran.output


@pytest.mark.parametrize(
    "manifest",
    [
        SOUND,
        SOUND.replace("to: square", "to: square, keys: last, expand: object"),
        SOUND.replace("to: square", "to: square, method: rece, epochs: 2"),
        SOUND + "emit: [kohya]\nverify: {images: {detector: editc:demo}}\n",
    ],
)
def test_a_manifest_that_does_not_name_a_broken_plugin_is_sound(broken: Path, manifest: str) -> None:
    file = broken / "manifest.yaml"
    file.write_text(manifest)
    assert not [one for one in api.check(file).diagnostics if one.is_error]


@pytest.mark.parametrize(
    "manifest",
    [
        SOUND.replace("to: square", "to: square, method: broken"),
        SOUND.replace("to: square", "to: square, keys: broken"),
        SOUND + "emit: [broken]\n",
        SOUND + "verify: {images: {detector: broken}}\n",
        SOUND + "verify: {images: {detector: editc:demo}, attacks: [broken]}\n",
    ],
    ids=["method", "key rule", "format", "detector", "attack"],
)
def test_one_that_names_it_is_told(broken: Path, manifest: str) -> None:
    file = broken / "manifest.yaml"
    file.write_text(manifest)
    assert terminal.run_command(cli, ["check", str(file)]) == 3
    (one,) = errors(file)
    assert one.code == "E139" and "their-package" in one.message


def test_a_name_of_editc_s_own_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_package.put_beside(tmp_path, "their-package", "[editc.methods]\nuce = no_such_module_of_anybody:THING\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert METHODS.resolve("uce").__module__ == "editc.passes.methods.images.uce" and "uce" not in METHODS.plugins()


def test_two_packages_with_one_name_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one-package", "other-package"):
        toy_package.put_beside(tmp_path, name, f"[editc.formats]\ntheirs = {name.replace('-', '_')}:THING\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EditcError) as caught:
        FORMATS.resolve("theirs")
    assert said(caught) == "the format `theirs` is in 2 packages: one-package and other-package"
    assert "theirs" not in dict(FORMATS.each())


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("THING = 3", "is no format: it has no `name`"),
        ("import sys; sys.exit(1)", "cannot be imported: SystemExit"),
        ("def (", "cannot be imported: SyntaxError"),
        ("OTHER = 3", "cannot be imported: AttributeError"),
    ],
)
def test_whatever_a_module_is_it_is_a_diagnostic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, why: str
) -> None:
    toy_package.put_beside(tmp_path, "their-package", "[editc.formats]\ntheirs = their_odd_module:THING\n")
    (tmp_path / "their_odd_module.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "their_odd_module", raising=False)
    with pytest.raises(EditcError) as caught:
        FORMATS.resolve("theirs")
    assert why in said(caught)


def test_a_method_whose_options_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_package.put_beside(tmp_path, "their-package", "[editc.methods]\ntheirs = their_method:Theirs\n")
    (tmp_path / "their_method.py").write_text("class Theirs: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for manifest, codes in (
        (SOUND, []),
        (SOUND.replace("to: square", "to: square, method: theirs, lamb: 1"), ["E139"]),
    ):
        (tmp_path / "manifest.yaml").write_text(manifest)
        assert [one.code for one in errors(tmp_path / "manifest.yaml")] == codes


def test_a_plugin_s_method_changes_no_other_manifest(toy: Path) -> None:
    """With no method named, the options are those that all of editc's own have, whatever is installed."""
    from editc.manifests.options import _options_of

    with_it = _options_of(None, METHODS.names("image"))
    assert {"toy", "toy-blank"} <= {*METHODS.names("image")}
    own = [name for name in METHODS.names("image") if name not in ("toy", "toy-blank")]
    assert with_it == _options_of(None, own)


def test_its_family_is_recognised(toy: Path) -> None:
    weight = np.zeros((8, 16), np.float32)
    (toy / "model" / "unet").mkdir(parents=True)
    (toy / "model" / "model_index.json").write_text('{"_class_name": "ToyPipeline"}')
    named = {f"blocks.0.look.{role}.weight": weight for role in ("key", "value")}
    save_file(named, toy / "model" / "unet" / "diffusion_pytorch_model.safetensors")
    target = Target(toy / "model", "model", open_model(str(toy / "model")))
    assert target.family.name == "toy-family"
    assert "Toy Diffusion" in api.explain("toy-family")


def test_its_format_is_offered(toy: Path) -> None:
    from editc.formats.exports.write import suitable_formats

    assert "toy-sites" in suitable_formats("sd1")
    api.export(DELTA, "toy-sites", toy / "delta.sites.json")
    assert "blocks" in (toy / "delta.sites.json").read_text() or (toy / "delta.sites.json").stat().st_size
    assert "a list of the edited matrices" in api.explain("toy-sites")


def test_its_detector_judges(toy: Path) -> None:
    from editc.backends.detectors.kind import DetectorRequest
    from editc.backends.detectors.lookup import detector_kind

    bright = detector_kind("toy-bright").open(DetectorRequest())
    assert bright is not None
    pictures = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (0, 255)])
    assert bright.shows("sun", pictures).tolist() == [False, True]
    (toy / "manifest.yaml").write_text(SOUND + "verify: {images: {detector: toy-bright}}\n")
    assert "E504" in {one.code for one in api.check(toy / "manifest.yaml").diagnostics}, "it knows no circle"
    assert "bright pictures show the sun" in api.explain("toy-bright")


def test_its_attack_is_run_with_its_options(toy: Path) -> None:
    (toy / "manifest.yaml").write_text(
        SOUND + "verify: {images: {detector: editc:demo}, attacks: {toy-capitals: {marks: 2, pictures: 2}}}\n"
    )
    manifest, _ = decode_file(toy / "manifest.yaml")
    assert manifest is not None
    (asked,) = manifest.attacks
    assert (asked.name, asked.options, asked.pictures) == ("toy-capitals", {"marks": 2}, 2)
    told: list[Sequence[str]] = []
    nothing: Any = None  # the reference, which this attack does not read
    case = Case(Told(told), "circle", ("circle",), ("a {}",), (), nothing, 0, 2, 3, 3.0)
    assert ATTACKS.resolve("toy-capitals")(**asked.options).run(case).pictures.shape == (2, 4, 4, 3)
    assert told[0] == ["A CIRCLE!!"] * 2
    assert "the prompt in capitals" in api.explain("toy-capitals")
    assert "How many exclamation marks follow." in api.explain("toy-capitals")


class Told:
    """A model that remembers the prompts whose rows it is asked for, and paints black."""

    def __init__(self, told: list[Sequence[str]]) -> None:
        self.told = told

    def rows(self, prompts: Sequence[str]) -> Any:
        self.told.append(prompts)
        return torch.zeros(len(prompts), 3, 8)

    def start(self, seeds: Sequence[int]) -> Any:
        return torch.zeros(len(seeds), 1, 4, 4)

    def timesteps(self, steps: int) -> Sequence[int]:
        return range(steps)

    def answer(self, latents: Any, times: Any, rows: Any) -> Any:
        return latents

    def step(self, answer: Any, time: int, latents: Any) -> Any:
        return answer

    def decode(self, latents: Any) -> NDArray[np.uint8]:
        return np.zeros((len(latents), 4, 4, 3), np.uint8)


LANGUAGE_METHOD = '''
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class Theirs:
    """Does nothing.

    lamb: the ridge.
    """

    works_on: ClassVar[str] = "memory"
    solves: ClassVar[tuple[str, ...]] = ("fact",)
    single: ClassVar[bool] = True
    lamb: float = 1.0
'''


@pytest.mark.parametrize(("edit", "codes"), [("fact", []), ("redirect", ["E187"])])
def test_a_method_for_language_models_is_allowed_where_it_says_so(
    edit: str, codes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_package.put_beside(tmp_path, "their-package", "[editc.methods]\ntheirs = their_language_method:Theirs\n")
    (tmp_path / "their_language_method.py").write_text(LANGUAGE_METHOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = {"fact": "{prompt: 'A {} is', subject: cat, answer: ' green'}", "redirect": "{from: cat, to: dog}"}
    text = f"editc: 1\nmodel: somewhere\nedits: [{{{edit}: {asked[edit]}, method: theirs, lamb: 2}}]\n"
    _, found = decode(Source("manifest.yaml", text))
    assert [one.code for one in found if one.is_error] == codes
