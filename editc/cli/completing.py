"""Completion in the shell: what stands for a word, and the command that prints the script of a shell."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem, get_completion_class

from editc.cli import terminal

VARIABLE = "_EDITC_COMPLETE"
"""The environment variable by which the script of a shell asks for completions. Its name is click's rule."""


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A model in any of its places: the shell completes files and folders; a hub id is not looked up."""
    return [CompletionItem(incomplete, type="file")]


def complete_explained(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A name that `editc explain` knows."""
    from editc.verbs.explain import known_names

    return _beginning(incomplete, known_names())


def complete_format(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A format that deltas are exported in."""
    from editc.registry.formats import FORMATS

    return _beginning(incomplete, FORMATS.names())


def _beginning(incomplete: str, known: Iterable[str]) -> list[CompletionItem]:
    """The names that begin with what is typed, in capitals or not."""
    begun = incomplete.casefold()
    return [CompletionItem(name) for name in known if name.casefold().startswith(begun)]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@terminal.json_option
def completion(shell: str, json_: bool) -> int:
    """Print the script by which a shell completes editc."""
    from editc.cli.show.output import Output

    context = click.get_current_context().find_root()
    made = get_completion_class(shell)
    assert made is not None
    text = made(context.command, {}, "editc", VARIABLE).source()
    return terminal.print_answer(Output(text.rstrip("\n"), {"shell": shell, "script": text}), (), json_)
