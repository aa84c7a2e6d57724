"""The documentation points at what exists, and names every method."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from places import ROOT

from editc.cli import cli
from editc.core.places import Source
from editc.manifests.decode import decode
from editc.manifests.heads import read_head_manifest
from editc.registry.methods import METHODS
from editc.registry.options import options

FOLDERS = (
    *("editc", "passes", "formats", "manifests", "integrations", "tests", "benchmarks", "docs"),
    *(".github", ".ci"),
)
KINDS = ("tutorial", "how-to", "reference", "explanation", "measurements")
PAGES = tuple(
    sorted(
        page
        for place in (*ROOT.glob("*.md"), ROOT / "docs", ROOT / "formats" / "FORMAT.md", ROOT / "integrations")
        for page in (place.rglob("*.md") if place.is_dir() else (place,))
    )
)
TEXTS = (".md", ".py", ".yaml", ".yml", ".txt", ".tsv", ".toml", ".j2")
DOORS = tuple(f"editc.{one}" for one in ("methods", "key_rules", "families", "formats", "attacks", "detectors"))
"""Groups of entry points: names that no module needs to have."""
PLACES = r"(?:editc|passes|formats|manifests|integrations|tests|benchmarks|docs)/"


def texts() -> Iterator[tuple[Path, str]]:
    """Every text of the repository that people read or write, with what stands in it; this file aside."""
    top = [path for path in ROOT.glob("*") if path.suffix in TEXTS or path.name == "Makefile"]
    below = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    for path in sorted({*top, *below} - {Path(__file__)}):
        if path.is_file() and (path.suffix in TEXTS or path.name in ("Makefile", "run")):
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and heading of every link in a page that is not to the web; examples are not looked at."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if ":" not in path:
            yield (page.parent / path if path else page), heading


def headings(page: Path) -> set[str]:
    """The headings as a link has them: small letters, no punctuation, a hyphen for a space."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = [f"{to.name}#{heading}" for to, heading in links(page) if not to.exists()]
    lost += [f"{to.name}#{heading}" for to, heading in links(page) if heading and heading not in headings(to)]
    assert not lost


def test_files_that_are_named_exist() -> None:
    """Any path of this repository, in any page, help text, comment or test: a glob names at least one file."""
    named = re.compile(rf"(?<![\w./-]){PLACES}[\w./*-]*\w\.(?:md|py|txt|tsv|j2|toml|png|yaml)\b")
    installed = re.compile(r"^editc/(?=(?:passes|formats|manifests)/)")
    found = {(str(where), installed.sub("", name)) for where, text in texts() for name in named.findall(text)}
    assert not [(where, name) for where, name in sorted(found) if not list(ROOT.glob(name))]


def test_dotted_names_exist() -> None:
    """`editc.core.solution.Edit` is a module, or stands in one: a name that a page or a docstring has in backticks."""
    named = re.compile(r"`(editc(?:\.\w+)+)(?:\(\))?`")
    lost = [
        (str(where), name)
        for where, text in texts()
        for name in named.findall(text)
        if not (name in DOORS or stands(name))
    ]
    assert not lost


def stands(name: str) -> bool:
    """True where a module has this name, or the last part is a word of the module before it."""
    parts = name.split(".")
    top = ROOT if parts[1] in ("passes", "formats", "manifests") else ROOT / "editc"
    for length in range(len(parts), 0, -1):
        place = top.joinpath(*parts[1:length])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.exists():
            return length == len(parts) or bool(re.search(rf"\b{parts[length]}\b", file.read_text(encoding="utf-8")))
    return False


def test_modules_that_are_run_exist() -> None:
    """`python -m benchmarks.depth` is a file."""
    run = re.compile(r"python[\w.]* (?:-P )?-m ((?:benchmarks|tests|editc)(?:\.\w+)*)")
    for where, text in texts():
        for name in run.findall(text):
            path = ROOT / name.replace(".", "/")
            assert path.with_suffix(".py").exists() or path.is_dir(), f"{where}: {name}"


MANIFESTS = [
    pytest.param(text, id=f"{page.stem}{number}")
    for page in PAGES
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    if re.search(r"^editc: 1\b", text, re.MULTILINE)
]


@pytest.mark.parametrize("text", MANIFESTS)
def test_every_manifest_in_a_page_is_sound(text: str) -> None:
    if re.search(r"^method: ", text, re.MULTILINE):  # of `editc head build`: elsewhere `method` stands beside an edit
        assert read_head_manifest(Source("manifest.yaml", text)).erased
        return
    _, found = decode(Source("manifest.yaml", text))
    assert not [one.message for one in found if one.severity == "error"]


def test_the_tutorial_s_fact_is_the_example() -> None:
    example = (ROOT / "manifests/examples/language/fact.yaml").read_text(encoding="utf-8").partition("editc: 1")[2]
    assert f"```yaml\neditc: 1{example}```" in (ROOT / "docs/tutorial/first-fact.md").read_text(encoding="utf-8")


def test_every_recipe_is_linked_from_the_page_for_contributors() -> None:
    recipes = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Recipes")[2]
    assert not [page.name for page in (ROOT / "docs/how-to").glob("add-*.md") if page.name not in recipes]


def every_command() -> dict[str, click.Command]:
    """The commands by their names, those too that are imported when they are asked for."""
    context = click.Context(cli)
    return {name: one for name in cli.list_commands(context) if (one := cli.get_command(context, name)) is not None}


def without_groups() -> dict[str, click.Command]:
    """Every command that does something, those of a group under both names: `onnx make-lora-ready`."""
    found: dict[str, click.Command] = {}
    for name, one in every_command().items():
        inner = one.commands if isinstance(one, click.Group) else None
        found |= {name: one} if inner is None else {f"{name} {other}": command for other, command in inner.items()}
    return found


def test_the_page_of_the_command_line_has_every_command_and_option() -> None:
    page = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
    assert not [name for name in every_command() if f"| `editc {name} " not in page]
    for name, command in without_groups().items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")] or [""]
        asked = {
            option for one in command.params if one.name != "json_" for option in one.opts if option.startswith("--")
        }
        assert not [option for option in asked if f"`{option}" not in row], name


def test_every_picture_is_shown_and_small() -> None:
    shown = {to.resolve() for page in PAGES for to, _ in links(page)}
    for picture in (ROOT / "docs/images").iterdir():
        assert picture.resolve() in shown and picture.stat().st_size < 300_000, picture.name


def commands(text: str) -> Iterator[list[str]]:
    """What stands behind `editc` in every command of a page: in console blocks, and in backticks."""
    for found in re.findall(r"^\s*\$ editc (.+?)(?: +#.*)?$|`editc ([^`]+)`", text, re.MULTILINE):
        words = "".join(found).split()
        yield words[1:] if words[0] in ("-q", "--quiet") else words


def test_every_command_in_a_page_has_the_options_that_it_is_given() -> None:
    known, groups = without_groups(), every_command().keys() - without_groups()
    for page in (*PAGES, *(ROOT / "editc/codes").glob("*.md")):
        for name, *words in commands(page.read_text(encoding="utf-8")):
            if name in groups and words:
                name, *words = f"{name} {words[0]}", *words[1:]
            if name.startswith("--") or name.isupper() or name in groups:
                continue
            assert name in known, f"{page.name}: editc {name}"
            asked = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            has = {option for one in known[name].params for option in one.opts} | {"--help"}
            assert not asked - has, f"{page.name}: editc {name}: {asked - has}"


def test_the_readme_fits_two_screens() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


def test_every_page_is_of_one_kind() -> None:
    """Directly in docs/ are the index and what serves all kinds: the glossary, and the picture of the code."""
    places = {path.relative_to(ROOT / "docs").parent.as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert places <= {".", *KINDS}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= {"index", "glossary", "architecture"}


def test_every_method_for_language_models_is_listed() -> None:
    text = (ROOT / "docs" / "reference" / "methods-language.md").read_text(encoding="utf-8")
    assert not [name for name in METHODS.names("language") if f"\n| `{name}` | " not in text]


def test_every_option_of_a_language_model_s_method_is_described() -> None:
    text = (ROOT / "docs" / "reference" / "methods-language.md").read_text(encoding="utf-8").partition("## Options")[2]
    asked = {option.name for name in METHODS.names("language") for option in options(name)}
    assert not [name for name in sorted(asked) if f"`{name}`" not in text]


def test_every_page_is_reached_from_the_readme() -> None:
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop().resolve()
        if page not in seen and page.suffix == ".md" and page.exists():
            seen.add(page)
            left += [to for to, _ in links(page)]
    assert not [page.name for page in PAGES if page.resolve() not in seen]


def test_nothing_cites_a_file_that_no_reader_has() -> None:
    """Notes that were at hand while editc was made are not in the repository; what they said is said here."""
    absent = re.compile(r"DESIGN(\.md)? ?\d|DESIGN\.md|\bfacts/\w|golden/formats|HOUSE\.md|\.\./shared|/work/")
    assert [str(where) for where, text in texts() if absent.search(text)] == []
