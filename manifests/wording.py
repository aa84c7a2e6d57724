"""What is wrong, or probably wrong, with the wording of a text. Each rule looks at one text and its role."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from editc.core.diagnostics import Severity
from editc.manifests.faults import tick

Role: TypeAlias = Literal["", "name", "phrase", "prompt", "context", "text"]
"""What a text is: the name of a concept; a few words that a model says; a prompt or a context for pictures; a text for
a language model, in which brackets and braces mean nothing else; '' for what no model reads, such as a path."""


@dataclass(frozen=True)
class Doubt:
    """One thing that is probably wrong with a text."""

    code: str
    """The code of the error or warning."""
    says: str
    """What is wrong. The name of the text's field stands before it."""
    help: str
    """What to do about it."""
    severity: Severity = "error"
    """`error`, or `warning` where the text may be meant."""


_MARKUP = re.compile(
    r"<(?:lora|lyco|hypernet|embedding):[^>]*>|\bembedding:\S+|[(\[]+(?P<word>[^()\[\]]+?)\s*:\s*[0-3]?\.?\d+[)\]]+"
)
"""LoRA tags, embeddings and `(word:1.2)` weights of A1111 and ComfyUI."""
_SPECIAL = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?(?:s|pad|unk|bos|eos|mask|cls|sep)>|\[/?(?:CLS|SEP|PAD|MASK|UNK|INST|BOS|EOS)\]"
    r"|<(?:start|end)_?of_?(?:text|turn)>|<(?:extra_id_|unused)\d+>",
    re.IGNORECASE,
)
"""Special tokens of common tokenizers."""
_SLOT = re.compile(r"\$?\{+\s*(?P<name>[A-Za-z_][\w.]*)?\s*\}+|%(?:\(\w+\))?s(?!\w)|(?<!\w)__\w+?__(?!\w)")
"""Slots of common template languages: `{name}`, `${name}`, `%s`, `__name__`."""
_QUOTES = "\"'\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
"""Quotes of several languages."""
_WRAPPED = re.compile(rf"(?P<open>[(\[{{<{_QUOTES}]+)(?P<word>[^()\[\]{{}}<>{_QUOTES}]+)[)\]}}>{_QUOTES}]+[+-]*")
"""A whole text in brackets or quotes, perhaps with the `+` and `-` of compel."""
_SEVERAL = re.compile(r"\s*[;|\u3001\uff0c]\s*|(?<!\d)\s*,\s*|,\s+|\s+(?:/|AND|BREAK)\s+")
"""What separates several names in one text."""
_NOTHING = frozenset({"none", "nil", "undefined", "nan", "n/a", "not set"})
"""Words for no value in other programs and languages."""
_JOINERS = "\u200c\u200d"
"""Zero-width joiners, which emoji and some scripts need."""
_SPACES = "\u00a0\u2007\u202f"
"""Spaces that look like the usual one."""


def doubts(text: str, role: Role, plain: bool = True) -> Iterator[Doubt]:
    """The first error in a text, or every warning if there is no error. `plain`: it stands without quotes."""
    found = [doubt for rule in RULES for doubt in rule(text, role, plain)]
    return iter([one for one in found if one.severity == "error"][:1] or found)


def invisible_characters(text: str, role: Role, plain: bool) -> Iterator[Doubt]:
    """E199: characters that nobody sees, or that look like others. The tokenizer reads them differently."""
    if role and (bad := next((one for i, one in enumerate(text) if _invisible(text, i)), "")):
        what = f"contains {_describe_character(bad)}, which is invisible, but the tokenizer reads it"
        yield Doubt("E199", what, f"type it again: {tick(''.join(one for one in text if one != bad))}")
    elif role == "name" and (bad := next((one for one in text if one in _SPACES), "")):
        yield Doubt(
            "E199",
            f"contains {_describe_character(bad)} where a space is meant",
            f"write {tick(text.replace(bad, ' '))}",
        )
    elif role == "name" and any("\uff01" <= one <= "\uff5e" for one in text):
        known = unicodedata.normalize("NFKC", text)
        yield Doubt(
            "E199", "is in full-width letters, which the tokenizer reads as other characters", f"write {tick(known)}"
        )
    elif role == "name" and (word := next(filter(_mixes_scripts, re.findall(r"[^\W\d_]+", text)), "")):
        help = "type the word again in one script"
        yield Doubt("E199", f"mixes Latin and Cyrillic letters, which look alike, in {tick(word)}", help)


def special_tokens(text: str, role: Role, plain: bool) -> Iterator[Doubt]:
    """E197: a special token is not text. A tokenizer turns it into its mark, or into nothing."""
    if role in ("name", "phrase", "prompt", "context") and (found := _SPECIAL.search(text)):
        says = f"contains {tick(found[0])}, which tokenizers take for a special token and not for text"
        yield Doubt("E197", says, "write what it is about in plain words")


def markup(text: str, role: Role, plain: bool) -> Iterator[Doubt]:
    """E194: notations of other programs for weights and adapters. Here they are ordinary characters."""
    if role in ("name", "prompt", "context") and (found := _MARKUP.search(text)):
        word = found["word"]
        help = f"write {tick(text.replace(found[0], word.strip()))}; `scale` weighs an edit" if word else "remove it"
        says = f"contains {tick(found[0])}: weights and adapters cannot be written in a text"
        yield Doubt("E194", says, help)


def template_slots(text: str, role: Role, plain: bool) -> Iterator[Doubt]:
    """E117: a slot that nothing fills. Only contexts have one, and it is `{}`."""
    found = next((one for one in _SLOT.finditer(text) if role != "context" or one[0] != "{}"), None)
    if role in ("name", "prompt", "context") and found:
        says = f"contains {tick(found[0])}, and nothing is put in its place"
        help = (
            "write the words themselves" if role == "context" else "write the words; sentences with {} are `contexts`"
        )
        yield Doubt("E117", says, help)


def surrounding_marks(text: str, role: Role, plain: bool) -> Iterator[Doubt]:
    """E118, a warning: brackets or quotes around the whole name are part of it."""
    if role == "name" and (found := _WRAPPED.fullmatch(text)) and not (found["open"] == "<" and text.endswith(">")):
        says = "has brackets or quotes around it, which are taken as part of the name"
        yield Doubt("E118", says, f"write {tick(found['word'].strip())}", "warning")


def words_for_nothing(text: str, role: Role, plain: bool) -> Iterator[Doubt]:
    """E119, a warning: a word that other programs use for no value."""
    if role in ("name", "phrase") and plain and text.casefold() in _NOTHING:
        help = f'remove it if nothing is meant; write "{text}" in quotes if it is meant'
        yield Doubt("E119", f"is the text {tick(text)}", help, "warning")


def several_names(text: str, role: Role, plain: bool) -> Iterator[Doubt]:
    """E193, a warning: several names in one text are one name, which no picture and no text has."""
    parts = [part for part in _SEVERAL.split(text) if part] if role == "name" else []
    if len(parts) > 1:
        says = f"is taken as one name, {tick(text)}"
        each = " and ".join(map(tick, parts[:3]))
        help = f"if you mean several, name {each} one by one: in a list, or in an edit each; `to` takes one"
        yield Doubt("E193", says, help, "warning")


RULES: tuple[Callable[[str, Role, bool], Iterator[Doubt]], ...] = (
    invisible_characters,
    special_tokens,
    markup,
    template_slots,
    surrounding_marks,
    words_for_nothing,
    several_names,
)
"""The rules, in the order in which they run."""


def _invisible(text: str, i: int) -> bool:
    """True for a character of no width. Joiners inside emoji, and in scripts whose spelling needs them, do not
    count."""
    if text[i] in _JOINERS:
        return not (0 < i < len(text) - 1) or (text[i - 1].isascii() and text[i + 1].isascii())
    tag = "\U000e0020" <= text[i] <= "\U000e007f"
    return unicodedata.category(text[i]) == "Cf" and not tag


def _mixes_scripts(word: str) -> bool:
    """True for a word with Latin and Cyrillic letters."""
    scripts = {unicodedata.name(one, "").partition(" ")[0] for one in word}
    return {"LATIN", "CYRILLIC"} <= scripts


def _describe_character(character: str) -> str:
    """The code and name of a character."""
    return f"U+{ord(character):04X} ({unicodedata.name(character, 'a control character').lower()})"
