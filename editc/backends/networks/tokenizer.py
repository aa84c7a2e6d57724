"""Turn prompts into tokens, and find the tokens of a subject or an answer among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from editc.core.diagnostics import fail
from editc.core.prompts import Cloze, Prompt, Spot, TokenPosition
from editc.libraries.loading import brief

OPENING_MARKS = "([{\"'`\u2018\u201c\u00ab"
"""Characters after which a writer puts no space."""
SPACELESS = ((0x0E00, 0x109F), (0x1780, 0x17FF), (0x2E80, 0xABFF), (0xF900, 0xFAFF), (0xFE30, 0x3FFFF))
"""Scripts that write words without spaces between them: Thai, Lao, Tibetan, Burmese, Khmer, Chinese, Japanese. Ranges
of Unicode. Korean uses spaces: its syllables lie outside of these ranges."""
JAMO = ((0x3130, 0x318F), (0xA960, 0xA97F), (0xFFA0, 0xFFDC))
"""Korean letters that lie inside of these ranges."""
EXAMPLE_DATE = "26 Jul 2024"
"""The date for chat templates that state one: Llama 3's own example, so that a build does not depend on the day."""
CLOCK_MACRO = f"{{%- macro strftime_now(format) -%}}{EXAMPLE_DATE}{{%- endmacro -%}}"
"""The same date for templates that ask the clock (SmolLM3, gpt-oss). Put before a template, the macro hides the clock
function of transformers."""


@dataclass(frozen=True)
class TokenizedText:
    """A text with its tokens."""

    text: str
    """The text."""
    ids: tuple[int, ...]
    """(t,): token ids."""
    starts: tuple[int, ...]
    """(t,): where the characters of each token begin in `text`."""
    ends: tuple[int, ...]
    """(t,): where they end; the same place as the start for a special token."""


@dataclass(frozen=True)
class PromptTokenizer:
    """A tokenizer of transformers, and what editc asks of it."""

    raw: Any
    """The tokenizer of transformers."""
    embeddings: int | None = None
    """The number of tokens for which the model has embeddings. None: not checked."""

    def encode_prompt(self, prompt: Prompt) -> TokenizedText:
        """Tokenize the prompt as the model gets it: through the chat template, or with BOS if the tokenizer adds it to
        text."""
        return self.tokenize(self.apply_template(prompt.text), False) if prompt.chat else self.with_bos(prompt.text)

    def apply_template(self, text: str) -> str:
        """Return a user's message in the chat template, up to where the answer begins.

        Raises LookupError where the tokenizer has no template, and E227 where the template fails.
        """
        if not getattr(self.raw, "chat_template", None):
            raise LookupError("the tokenizer has no chat template")
        said = [{"role": "user", "content": text}]
        given = {"tokenize": False, "add_generation_prompt": True, "date_string": EXAMPLE_DATE}
        try:
            template = CLOCK_MACRO + self.raw.get_chat_template()
            return str(self.raw.apply_chat_template(said, chat_template=template, **given))
        except Exception as error:  # a template is a program, and may raise anything
            message = f"the model's chat template fails on a single user message: {brief(error)}"
            help_text = "correct it (chat_template.jinja, or in tokenizer_config.json), or remove `chat`"
            raise fail("E227", message, help=help_text) from error

    def fingerprint(self) -> str:
        """Return a sha256 over everything that decides how text becomes tokens."""
        tokenizer = self.raw
        fast = getattr(tokenizer, "backend_tokenizer", None)
        rules = sorted(tokenizer.get_vocab().items()) if fast is None else fast.to_str()
        rest = (getattr(tokenizer, "chat_template", None), tokenizer.special_tokens_map, self.bos_ids())
        return sha256(f"{rules} {rest}".encode("utf-8", "surrogatepass")).hexdigest()

    def place(self, spot: Spot) -> TokenPosition:
        """Return the row of a spot. Raises LookupError where the prompt does not contain the subject."""
        found = self.encode_prompt(Prompt(spot.prompt, spot.chat))
        if not spot.subject:
            return TokenPosition(len(found.ids) - 1, len(found.ids) - 1, len(found.ids))
        begin = spot.begin
        if spot.chat:
            begin += self._template_offset(found.text, spot.prompt)
        rows = list(rows_between(found, begin, begin + len(spot.subject)))
        return TokenPosition(rows[-1], rows[0], len(found.ids))

    @staticmethod
    def _template_offset(filled: str, prompt: str) -> int:
        """Return how far the chat template moves the characters of a prompt. It may strip spaces at the ends.

        Raises LookupError where it changes the prompt otherwise.
        """
        at = filled.rfind(prompt.strip())
        if at < 0:
            raise LookupError(f"the chat message does not contain `{prompt}` unchanged, so its words cannot be found")
        return at - (len(prompt) - len(prompt.lstrip()))

    def encode_cloze(self, asked: Cloze) -> tuple[tuple[int, ...], int]:
        """Return the tokens of prompt and answer, and how many of the last belong to the answer.

        Raises LookupError where the answer has no token of its own.
        """
        before = self.encode_prompt(Prompt(asked.prompt, asked.chat))
        if asked.chat:
            ids = (*before.ids, *self.tokenize(asked.answer, False).ids)
            first = len(before.ids)
        else:
            ids = self.with_bos(join_answer(asked.prompt, asked.answer)).ids
            first = next((i for i, (a, b) in enumerate(zip(before.ids, ids, strict=False)) if a != b), len(before.ids))
        if not 0 < first < len(ids):
            raise LookupError(f"`{asked.answer}` has no token of its own after `{asked.prompt}`")
        return ids, len(ids) - first

    def chunks(self, texts: Sequence[str], size: int) -> Iterator[tuple[int, ...]]:
        """Join the texts and cut them into runs of `size` tokens, each with BOS if the tokenizer adds it.

        A rest that does not fill a run is left out, unless it is the only one.
        """
        head = self.bos_ids()
        ids = [token for text in texts for token in self.tokenize(text + "\n\n", False).ids]
        step = size - len(head)
        cut = [(*head, *ids[start : start + step]) for start in range(0, len(ids), step)]
        yield from (one for one in cut if len(one) == size or len(cut) == 1)

    def with_bos(self, text: str) -> TokenizedText:
        """Tokenize a text with what the tokenizer puts before it (BOS) and without what it puts after it (EOS)."""
        found = self.tokenize(text, True)
        count = len(found.ids) - self._marks[1]
        return TokenizedText(text, found.ids[:count], found.starts[:count], found.ends[:count])

    def text_ids(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text by itself, without BOS or EOS. Raises LookupError for a text without tokens."""
        ids = self.tokenize(text, False).ids
        if not ids:
            raise LookupError(f"the tokenizer gives no token for `{text}`")
        return ids

    def bos_ids(self) -> tuple[int, ...]:
        """Return the ids that the tokenizer puts before a text: BOS, or nothing."""
        return self._marks[0]

    @cached_property
    def _marks(self) -> tuple[tuple[int, ...], int]:
        """The ids that the tokenizer puts before a text, and the number of those that it puts after it (EOS)."""
        plain, whole = self.tokenize("a", False).ids, self.tokenize("a", True).ids
        before = whole[: whole.index(plain[0])] if plain[0] in whole else ()
        return before, len(whole) - len(plain) - len(before)

    def tokenize(self, text: str, special: bool) -> TokenizedText:
        """Tokenize a text, with or without special tokens.

        Raises LookupError where the tokens of a tokenizer without offsets do not decode to the text, and E205 for a
        token that the model has no embedding for.
        """
        found = self._tokenize(text, special)
        if self.embeddings is not None and max(found.ids, default=0) >= self.embeddings:
            last = max(found.ids)
            token = self.raw.convert_ids_to_tokens(last)
            message = f"`{token}` is token {last}, but the model has only {self.embeddings} embeddings"
            raise fail("E205", message, help="use the tokenizer that was saved with this model")
        return found

    def _tokenize(self, text: str, special: bool) -> TokenizedText:
        """Tokenize a text with the tokenizer's own offsets, or with computed ones where it has none."""
        if getattr(self.raw, "is_fast", False):
            found = self.raw(text, add_special_tokens=special, return_offsets_mapping=True)
            starts, ends = zip(*found["offset_mapping"], strict=True) if found["input_ids"] else ((), ())
            return TokenizedText(text, tuple(found["input_ids"]), starts, ends)
        return self._tokenize_without_offsets(text, tuple(self.raw(text, add_special_tokens=special)["input_ids"]))

    def _tokenize_without_offsets(self, text: str, ids: tuple[int, ...]) -> TokenizedText:
        """Compute the offsets of tokens: the first k tokens reach as far as the text that they decode to."""
        plain = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        reach = [len(self.raw.decode(list(ids[:count]), **plain)) for count in range(len(ids) + 1)]
        begin = self.raw.decode(list(ids), **plain).find(text)
        if begin < 0:
            raise LookupError(
                f"the tokens of `{text}` do not decode to the same text, so its words cannot be found in them"
            )
        ends = [min(max(one - begin, 0), len(text)) for one in reach]
        return TokenizedText(text, ids, tuple(ends[:-1]), tuple(ends[1:]))


def rows_between(tokens: TokenizedText, begin: int, end: int) -> Iterator[int]:
    """Yield the rows of tokens whose characters overlap those from `begin` to `end`."""
    rows = (i for i, (a, b) in enumerate(zip(tokens.starts, tokens.ends, strict=True)) if a < end and b > begin)
    yield from rows


def join_answer(prompt: str, answer: str) -> str:
    """Join prompt and answer, with one space between them where a writer would put one."""
    if not prompt or not answer or prompt[-1].isspace() or prompt[-1] in OPENING_MARKS or not answer[0].isalnum():
        return prompt + answer
    return prompt + answer if spaceless(prompt[-1]) or spaceless(answer[0]) else f"{prompt} {answer}"


def spaceless(letter: str) -> bool:
    """True for a letter of a script that puts no spaces between words."""
    return _in_ranges(ord(letter), SPACELESS) and not _in_ranges(ord(letter), JAMO)


def _in_ranges(code: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """True if a code point lies in one of the ranges, ends included."""
    return any(first <= code <= last for first, last in ranges)
