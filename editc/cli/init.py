"""The command `editc init`: flags, or questions on a terminal; then the file, and what `check` says of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from editc.cli import terminal
from editc.cli.completing import complete_model

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.start.look import Look
    from editc.start.recipes import Answers

KINDS = click.Choice(["object", "style", "person", "company", "nudity", "fact", "concept"])
"""What a first manifest can be for: `IMAGE_KINDS` and `LANGUAGE_KINDS` of `editc.start.recipes`."""
QUESTIONS: Mapping[str, str] = {
    "model": "Model (a folder, a .safetensors file, a hub id or editc:demo)",
    "erase": "What to erase",
    "to": "What is shown in its place (empty: leave it to editc)",
    "prompt": "A text that the answer continues, such as: The Louvre is located in the city of",
    "subject": "What it is about, as the text has it, such as: Louvre",
    "answer": "What the model must say",
    "was": "What it says now (empty: ask the model)",
}
"""Flag -> the question that is asked in its place."""
TAKES = {"fact": (("prompt", "subject", "answer"), ("was",)), "nudity": ((), ("erase", "to"))}
"""Kind -> the flags that it needs, and those that it may have. The others need `erase` and may have `to`."""


@click.command()
@click.option(
    "--model",
    shell_complete=complete_model,
    metavar="MODEL",
    help="The model: a folder, a .safetensors file, a hub id or editc:demo.",
)
@click.option("--erase", metavar="CONCEPT", help="What to erase.")
@click.option("--to", metavar="CONCEPT", help="What is shown in its place.")
@click.option("--kind", type=KINDS, help="What it is [default: object; of a language model fact].")
@click.option("--prompt", metavar="TEXT", help="Of a fact: a text that its answer continues.")
@click.option("--subject", metavar="TEXT", help="Of a fact: what it is about, as the prompt has it.")
@click.option("--answer", metavar="TEXT", help="Of a fact: what the model must say.")
@click.option("--was", metavar="TEXT", help="Of a fact: what it says now.")
@click.option(
    "--encoder",
    shell_complete=complete_model,
    metavar="FOLDER",
    help="The text encoder of an image model that is one file.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default="manifest.yaml",
    show_default=True,
    metavar="FILE",
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@terminal.json_option
def init(out: Path, force: bool, json_: bool, **given: str | None) -> int:
    """Write a first manifest, and check it.

    Asks for what is missing, if a terminal is there."""
    from editc.cli import show
    from editc.manifests.amend import refuse_existing
    from editc.verbs import public as api

    if not force:
        refuse_existing(out, help="name another with --out, or replace it with --force")
    flags = {name: value.strip() for name, value in given.items() if value is not None}
    asks = not json_ and sys.stdin.isatty() and sys.stdout.isatty()
    if "model" not in flags:
        flags |= _ask(("model",), asks)
    found = terminal.run_verb(_look, flags["model"], out.parent, flags.get("encoder", ""))
    answers = _answers(found, flags, asks)
    _write(out, answers, found)
    checked = terminal.run_verb(api.check, out)
    shown = show.check_result(checked)
    text = "\n".join([f"wrote {out}", *([shown.text] if shown.text else [])])
    shown = replace(shown, text=text, data={"file": str(out), "kind": answers.kind, **shown.data})
    return terminal.print_answer(shown, checked.diagnostics, json_)


def _look(model: str, folder: Path, encoder: str) -> Look:
    """Open the model. A function of its own, so that what libraries print is held back."""
    from editc.start.look import look_at

    return look_at(model, folder, encoder)


def _answers(found: Look, flags: dict[str, str], asks: bool) -> Answers:
    """What the user wants: the flags, and answers to questions for those that are missing and needed."""
    from editc.start.recipes import IMAGE_KINDS, LANGUAGE_KINDS, Answers

    kinds = IMAGE_KINDS if found.is_image else LANGUAGE_KINDS
    kind = flags.get("kind") or _kind(kinds, flags, asks)
    if kind not in kinds:
        raise click.UsageError(f"--kind {kind} is not for {found.family.title}: name {', '.join(kinds)}")
    needed, optional = TAKES.get(kind, (("erase",), ("to",)))
    strange = {name for name in QUESTIONS if name != "model"} & flags.keys() - {*needed, *optional}
    if strange:
        raise click.UsageError(f"--kind {kind} does not take {', '.join(f'--{name}' for name in sorted(strange))}")
    flags = {**flags, "kind": kind, **_ask([name for name in needed if name not in flags], asks)}
    if asks:
        flags |= {name: _question(name, "") for name in optional if name not in flags and needed}
    return Answers(**{**flags, "model": found.name, "encoder": found.encoder})


def _kind(kinds: tuple[str, ...], flags: Mapping[str, str], asks: bool) -> str:
    """The kind that the flags imply; else the one that is chosen, or the first."""
    if "erase" in flags and "fact" in kinds:
        return "concept"
    if not asks:
        return kinds[0]
    return str(click.prompt("Kind", type=click.Choice(kinds), default=kinds[0], err=True))


def _ask(names: list[str] | tuple[str, ...], asks: bool) -> dict[str, str]:
    """An answer for each of these flags. Without a terminal a mistake of the command line that names them."""
    if names and not asks:
        flags = ", ".join(f"--{name}" for name in names)
        raise click.UsageError(f"nobody is there to be asked: give {flags}")
    return {name: _question(name) for name in names}


def _question(name: str, default: str | None = None) -> str:
    """The answer to the question for a flag. With a default, an empty answer is taken."""
    answer = click.prompt(QUESTIONS[name], default=default, show_default=False, err=True)
    return str(answer).strip()


def _write(out: Path, answers: Answers, found: Look) -> None:
    """Write the manifest, with what an editor needs to find the schema."""
    from editc.core.storage.disk import guard_writes, replace_file
    from editc.start.look import draft, schema_lines

    text = schema_lines(out.parent, Path.cwd()) + draft(answers, found)
    with guard_writes(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, text.encode())
