"""Prompts of a language model, and the places in them at which it is read.

A prompt is plain text or, with `chat`, what a user says: it then goes through the model's chat template.
"""

from __future__ import annotations

from dataclasses import dataclass

from editc.core.text import last_occurrence

PREFIXES = (
    "",
    "It was a quiet afternoon. ",
    "The following is well known. ",
    "He closed the book and went on: ",
    "On the next page there was a list. ",
    "As a friend told me yesterday over a cup of tea, ",
    "In the end, after a long discussion, everybody agreed. ",
)
"""What a prompt is put behind to see its subject in other contexts. ROME lets the model write such prefixes, so they
differ from run to run; here they are the same for every model."""


@dataclass(frozen=True)
class Prompt:
    """A text that the model goes on from."""

    text: str
    """The text."""
    chat: bool = False
    """True where it goes through the chat template."""


@dataclass(frozen=True)
class Spot:
    """One token of a prompt at which a state of the model is read: the last token of `subject`."""

    prompt: str
    """The prompt."""
    subject: str = ""
    """The subject. Empty: the spot is the last token of the prompt."""
    chat: bool = False
    """True where the prompt goes through the chat template."""
    before: str | None = None
    """The text before the subject. None: the subject where it last stands, as words of its own rather than inside a
    longer word."""

    @property
    def begin(self) -> int:
        """Where the subject begins, in characters of `prompt`. Raises LookupError when the prompt does not have it
        there."""
        if self.before is None:
            found = last_occurrence(self.prompt, self.subject)
        else:
            found = len(self.before) if self.prompt.startswith(self.before + self.subject) else -1
        if found < 0:
            raise LookupError(f"`{self.subject}` is not in `{self.prompt}`")
        return found

    @property
    def causal_prefix(self) -> tuple[str, bool]:
        """The prompt up to the subject's end, and `chat`. In a causal model a state there depends on nothing else.
        Raises LookupError as `begin` does."""
        return (self.prompt[: self.begin + len(self.subject)] if self.subject else self.prompt), self.chat


@dataclass(frozen=True)
class TokenPosition:
    """Where a spot is among the tokens of its prompt.

    Position 0 is an attention sink: states there are hundreds of times as large as elsewhere and depend little on the
    word. A subject is there where a tokenizer adds no BOS and the prompt begins with the subject.
    """

    row: int
    """The position of the spot, counted from 0."""
    first: int
    """The position of the subject's first token."""
    count: int
    """How many tokens the prompt has."""

    @property
    def sink(self) -> bool:
        """True where the spot is at position 0, the attention sink."""
        return self.row == 0


@dataclass(frozen=True)
class Cloze:
    """A prompt and a text that may follow it. Between a plain prompt and a word stands a space; it is added where the
    prompt lacks it."""

    prompt: str
    """The prompt."""
    answer: str
    """The text that may follow."""
    chat: bool = False
    """True where the prompt goes through the chat template."""


@dataclass(frozen=True)
class KnownFact:
    """Something that a model knows: it continues `prompt` with `answer`."""

    prompt: str
    """The prompt, which contains the subject."""
    subject: str
    """The subject."""
    answer: str
    """How the model continues."""
    chat: bool = False
    """True where the prompt goes through the chat template."""
    before: str | None = None
    """The text before the subject. None: see `Spot.before`."""

    @property
    def spot(self) -> Spot:
        """The subject's last token."""
        return Spot(self.prompt, self.subject, self.chat, self.before)

    @property
    def cloze(self) -> Cloze:
        """The prompt with the answer, without the subject."""
        return Cloze(self.prompt, self.answer, self.chat)
