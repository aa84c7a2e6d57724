"""First manifests: the recipes among the examples, with the user's model, concept and target put in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from editc.start.sentences import example_folder

IMAGE_KINDS = ("object", "style", "person", "company", "nudity")
"""Kinds of things to erase from an image model: each is a recipe of that name."""
LANGUAGE_KINDS = ("fact", "concept")
"""Kinds of edits of a language model that are begun here."""
_PLAIN = re.compile(r"[A-Za-z]([\w '.-]*\w)?|[A-Za-z./][\w./@:-]*[\w/]")
"""A text or a path that YAML reads as a text without quotes, but for the words in `_WORDS`."""
_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
"""Words that YAML may read as something else than a text."""


@dataclass(frozen=True)
class Answers:
    """What the user wants, as flags or as answers to questions."""

    kind: str
    """One of `IMAGE_KINDS` or `LANGUAGE_KINDS`."""
    model: str
    """The model, as the manifest is to name it."""
    encoder: str = ""
    """The folder with the text encoder of a model that is one file; empty: none is named."""
    erase: str = ""
    """The concept; empty for a fact, and where the recipe's own is taken."""
    to: str = ""
    """What takes its place; empty: what the recipe has, and nothing for an object or a language model."""
    prompt: str = ""
    """Of a fact: a text that its answer continues."""
    subject: str = ""
    """Of a fact: what it is about, as the prompt has it."""
    answer: str = ""
    """Of a fact: what the model must say."""
    was: str = ""
    """Of a fact: what it says now; empty: editc asks the model."""


def recipe_text(kind: str) -> str:
    """The text of the recipe for a kind of thing."""
    return (example_folder() / "recipes" / f"{kind}.yaml").read_text(encoding="utf-8")


def image_manifest(answers: Answers, notes: str, emit: str, unread: frozenset[str] = frozenset()) -> str:
    """The recipe of a kind with the answers in it. `notes` are comment lines for its head, `emit` the format to write.
    Contexts among `unread`, whose words the model does not know, are left out."""
    lines = recipe_text(answers.kind).splitlines(keepends=True)
    measured = next(i for i, line in enumerate(lines) if line.startswith("# Measured: "))
    text = "".join(
        line for line in lines[measured:] if not line.startswith("emit: ") and _context_of(line) not in unread
    )
    encoder = f"encoder: {as_yaml(answers.encoder)}\n" if answers.encoder else ""
    text = re.sub(r"(?m)^editc: ", lambda found: f"{notes}{found[0]}", text, count=1)
    text = re.sub(r"(?m)^model: .*\n", lambda _: f"model: {as_yaml(answers.model)}\n{encoder}", text, count=1)
    if answers.erase:
        text = re.sub(r"(?m)^    also: .*\n", "", _set(text, "- erase", answers.erase))
    if answers.to or answers.kind == "object":
        text = _set(text, "  to", answers.to)
    return f"# Written by `editc init --kind {answers.kind}`.\n{text}" + (f"emit: [{emit}]\n" if emit else "")


def language_manifest(answers: Answers, notes: str, emit: str) -> str:
    """A manifest with one edit of a language model. The other arguments are those of `image_manifest`."""
    head = f"# Written by `editc init --kind {answers.kind}`. docs/how-to/edit-a-fact.md says what each key is for.\n"
    edit = _fact(answers) if answers.kind == "fact" else _concept(answers)
    return (
        f"{head}{notes}editc: 1\nmodel: {as_yaml(answers.model)}\nedits:\n{edit}{_BOUNDS[answers.kind]}emit: [peft]\n"
    )


def as_yaml(text: str) -> str:
    """A text as YAML has it on one line, in quotes where it could be read as something else."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else json.dumps(text, ensure_ascii=False)


def _set(text: str, key: str, value: str) -> str:
    """The text with another value at the first line `  KEY: ...`, or without that line for an empty value. A comment
    behind it stays in its column if there is room."""
    line = re.compile(rf"(?m)^(  {re.escape(key)}: )([^#\n]*?)( +(#.*))?\n")

    def replaced(found: re.Match[str]) -> str:
        begin = f"{found[1]}{as_yaml(value)}"
        return f"{begin:<{found.start(4) - found.start() - 1}} {found[4]}\n" if found[4] else f"{begin}\n"

    return line.sub(replaced if value else "", text, count=1)


def contexts_of(recipe: str) -> tuple[str, ...]:
    """The contexts of a recipe, which stand on lines of their own."""
    return tuple(context for line in recipe.splitlines() if (context := _context_of(line)))


def _context_of(line: str) -> str:
    """The context that a line of a recipe holds; else empty."""
    return line.strip().removeprefix("- ").strip('"') if line.startswith("      - ") else ""


def _fact(answers: Answers) -> str:
    """The edit `fact`, with the places of what measures it as comments."""
    was = f"      was: {as_yaml(answers.was)}\n" if answers.was else ""
    return (
        "  - fact:\n"
        f"      prompt: {as_yaml(answers.prompt)}\n"
        f"      subject: {as_yaml(answers.subject)}\n"
        f"      answer: {as_yaml(answers.answer)}\n"
        f"{was}"
        '      # paraphrases: ["..."]     # other prompts with the same answer, {} for the subject: does it hold?\n'
        "      # neighbours: {...: ...}   # prompts about something else, with their answers: do these stay?\n"
    )


def _concept(answers: Answers) -> str:
    """The edit `erase` of a language model."""
    to = (
        f"    to: {as_yaml(answers.to)}\n"
        if answers.to
        else "    toward: noise              # or `to`: another concept\n"
    )
    return (
        f"  - erase: {as_yaml(answers.erase)}\n{to}"
        '    # relations: {"{} is in the country of": ...}   # sentences with {} for the concept, and what must go\n'
        "    # neighbours: {...: ...}    # prompts about something else with their answers: do these stay?\n"
    )


_BOUNDS: Mapping[str, str] = {
    "fact": "constraints: {efficacy: 1}     # the new answer must be likelier than the old one\n",
    "concept": "# constraints: {retain_kl: 0.01}  # how far ordinary text may move; read the report first\n",
}
"""Kind -> the line with the bounds."""
