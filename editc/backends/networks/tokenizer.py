"""Text to tokens: what a prompt is for the model, and which of its tokens are a subject or an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from editc.core.diagnostics import fail
from editc.core.network import Cloze, Place, Prompt, Spot
from editc.libraries.loading import brief

OPENING_MARKS = "([{\"'`\u2018\u201c\u00ab"
SPACELESS = ((0x0E00, 0x109F), (0x1780, 0x17FF), (0x2E80, 0xABFF), (0xF900, 0xFAFF), (0xFE30, 0x3FFFF))
"""Scripts that write words without spaces between them: Thai, Lao, Tibetan, Burmese, Khmer, Chinese, Japanese. Korean
does not: its syllables lie between."""
JAMO = ((0x3130, 0x318F), (0xA960, 0xA97F), (0xFFA0, 0xFFDC))
"""Korean letters that lie among them."""
EXAMPLE_DATE = "26 Jul 2024"
"""For chat templates that say what day it is: Llama 3's own example, so that a build does not depend on the day."""
CLOCK_MACRO = f"{{%- macro strftime_now(format) -%}}{EXAMPLE_DATE}{{%- endmacro -%}}"
"""The same for templates that ask the clock (SmolLM3, gpt-oss): put before one, it hides transformers' own function."""


@dataclass(frozen=True)
class TokenizedText:
    """A text as tokens: `ids`, and for each where its characters begin and end in `text` (an empty run if special)."""

    text: str
    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True)
class PromptTokenizer:
    """A tokenizer, and what editc asks of it."""

    raw: Any
    embeddings: int | None = None
    """Tokens that the model has embeddings for; None: not checked."""

    def encode_prompt(self, prompt: Prompt) -> TokenizedText:
        """The prompt as the model is given it: through the chat template, or with what the tokenizer adds to text."""
        return self.tokenize(self.apply_template(prompt.text), False) if prompt.chat else self.with_bos(prompt.text)

    def apply_template(self, text: str) -> str:
        """What a user says, through the chat template, with the answer to come. LookupError where there is none, E227
        where it fails."""
        if not getattr(self.raw, "chat_template", None):
            raise LookupError("the tokenizer has no chat template")
        said = [{"role": "user", "content": text}]
        given = {"tokenize": False, "add_generation_prompt": True, "date_string": EXAMPLE_DATE}
        try:
            template = CLOCK_MACRO + self.raw.get_chat_template()
            return str(self.raw.apply_chat_template(said, chat_template=template, **given))
        except Exception as error:  # a template is a program, and may raise anything
            message = f"the model's chat template fails on one message of a user: {brief(error)}"
            help_text = "correct it (chat_template.jinja, or in tokenizer_config.json), or leave `chat` out"
            raise fail("E227", message, help=help_text) from error

    def fingerprint(self) -> str:
        """sha256 over all that makes tokens of text."""
        tokenizer = self.raw
        fast = getattr(tokenizer, "backend_tokenizer", None)
        told = sorted(tokenizer.get_vocab().items()) if fast is None else fast.to_str()
        rest = (getattr(tokenizer, "chat_template", None), tokenizer.special_tokens_map, self.bos_ids())
        return sha256(f"{told} {rest}".encode("utf-8", "surrogatepass")).hexdigest()

    def place(self, spot: Spot) -> Place:
        """Where the spot is. LookupError when the prompt does not have the subject."""
        found = self.encode_prompt(Prompt(spot.prompt, spot.chat))
        if not spot.subject:
            return Place(len(found.ids) - 1, len(found.ids) - 1, len(found.ids))
        begin = spot.begin
        if spot.chat:
            begin += self._template_offset(found.text, spot.prompt)
        rows = list(rows_between(found, begin, begin + len(spot.subject)))
        return Place(rows[-1], rows[0], len(found.ids))

    @staticmethod
    def _template_offset(told: str, prompt: str) -> int:
        """How far the characters of a prompt are moved by the chat template, which may leave out spaces at its ends.
        LookupError when it changes the prompt otherwise."""
        at = told.rfind(prompt.strip())
        if at < 0:
            raise LookupError(f"`{prompt}` does not stand in what the model is told, so its words cannot be found")
        return at - (len(prompt) - len(prompt.lstrip()))

    def encode_cloze(self, asked: Cloze) -> tuple[tuple[int, ...], int]:
        """The tokens of prompt and answer, and how many of the last are the answer's. LookupError for no answer."""
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
        """The texts one after the other, cut into runs of `size` tokens, each behind what begins a text; the rest that
        does not fill one is left out, unless it is all there is."""
        head = self.bos_ids()
        ids = [token for text in texts for token in self.tokenize(text + "\n\n", False).ids]
        step = size - len(head)
        cut = [(*head, *ids[start : start + step]) for start in range(0, len(ids), step)]
        yield from (one for one in cut if len(one) == size or len(cut) == 1)

    def with_bos(self, text: str) -> TokenizedText:
        """The text behind what the tokenizer puts before one, and without what it puts after one (EOS)."""
        found = self.tokenize(text, True)
        count = len(found.ids) - (
            len(self.tokenize("a", True).ids) - len(self.tokenize("a", False).ids) - len(self.bos_ids())
        )
        return TokenizedText(text, found.ids[:count], found.starts[:count], found.ends[:count])

    def text_ids(self, text: str) -> tuple[int, ...]:
        """The ids of a text by itself, without what begins or ends one. LookupError for a text that has none."""
        ids = self.tokenize(text, False).ids
        if not ids:
            raise LookupError(f"the tokenizer makes no token of `{text}`")
        return ids

    def bos_ids(self) -> tuple[int, ...]:
        """What the tokenizer puts before a text: BOS, or nothing."""
        plain, whole = self.tokenize("a", False).ids, self.tokenize("a", True).ids
        return whole[: whole.index(plain[0])] if plain[0] in whole else ()

    def tokenize(self, text: str, special: bool) -> TokenizedText:
        """The text as tokens. LookupError when a tokenizer without offsets does not give the text back; E205 for a
        token that the model has no embedding for."""
        found = self._tokenize(text, special)
        if self.embeddings is not None and max(found.ids, default=0) >= self.embeddings:
            last = max(found.ids)
            message = (
                f"`{self.raw.convert_ids_to_tokens(last)}` is token {last}, and the model embeds {self.embeddings}"
            )
            raise fail("E205", message, help="use the tokenizer that was saved with this model")
        return found

    def _tokenize(self, text: str, special: bool) -> TokenizedText:
        if getattr(self.raw, "is_fast", False):
            found = self.raw(text, add_special_tokens=special, return_offsets_mapping=True)
            starts, ends = zip(*found["offset_mapping"], strict=True) if found["input_ids"] else ((), ())
            return TokenizedText(text, tuple(found["input_ids"]), starts, ends)
        return self._tokenize_without_offsets(text, tuple(self.raw(text, add_special_tokens=special)["input_ids"]))

    def _tokenize_without_offsets(self, text: str, ids: tuple[int, ...]) -> TokenizedText:
        """Offsets of a tokenizer that has none: how long the text is that its first tokens decode to."""
        plain = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        reach = [len(self.raw.decode(list(ids[:count]), **plain)) for count in range(len(ids) + 1)]
        begin = self.raw.decode(list(ids), **plain).find(text)
        if begin < 0:
            raise LookupError(f"the tokenizer does not give `{text}` back, so its words cannot be found in the tokens")
        ends = [min(max(one - begin, 0), len(text)) for one in reach]
        return TokenizedText(text, ids, tuple(ends[:-1]), tuple(ends[1:]))


def rows_between(tokens: TokenizedText, begin: int, end: int) -> Iterator[int]:
    """The rows whose characters overlap those from `begin` to `end`."""
    rows = (i for i, (a, b) in enumerate(zip(tokens.starts, tokens.ends, strict=True)) if a < end and b > begin)
    yield from rows


def join_answer(prompt: str, answer: str) -> str:
    """Prompt and answer with one space between them where a writer would put one."""
    if not prompt or not answer or prompt[-1].isspace() or prompt[-1] in OPENING_MARKS or not answer[0].isalnum():
        return prompt + answer
    return prompt + answer if spaceless(prompt[-1]) or spaceless(answer[0]) else f"{prompt} {answer}"


def spaceless(letter: str) -> bool:
    """True for a letter of a script that puts no spaces between words."""
    return _in_ranges(ord(letter), SPACELESS) and not _in_ranges(ord(letter), JAMO)


def _in_ranges(code: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= code <= last for first, last in ranges)
