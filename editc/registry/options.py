"""The options of a method. They are the fields of its dataclass, read for manifests and for `editc explain`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache, lru_cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from editc.registry.methods import METHODS

if TYPE_CHECKING:
    from editc.core.places import Scalar

OptionType: TypeAlias = type[int] | type[float] | type[bool] | type[str] | tuple[str, ...]
"""The type of an option; a tuple of words where only these are allowed."""
OPTION_LINE = re.compile(r"^ +(\w+): (.+(?:\n {8,}\S.*)*)\n?", re.MULTILINE)
"""A line `option: what it does` of an indented class docstring, with its continuation lines."""


@dataclass(frozen=True)
class Option:
    """One option of a method: a field of its dataclass."""

    name: str
    """Its name in a manifest."""
    type: OptionType
    """Its type; a tuple where a few words are allowed."""
    default: Scalar | None
    """Its default. None: the key rule decides, or there is no default."""


def options(method: str) -> tuple[Option, ...]:
    """The options of a method, in the order of its fields. Raises E139 for a plugin's method whose options cannot be
    read."""
    try:
        return options_of(METHODS.resolve(method))
    except (TypeError, NameError) as error:
        if method not in METHODS.plugins():
            raise
        raise METHODS.broken(method, f"cannot be used: {error}") from error


def option_texts(kind: type) -> Mapping[str, str]:
    """Option -> what it does, for the options of a method or an attack that have a text.

    The text is the docstring under the field, in the class or in the nearest base class that has one. Without one it is
    the line `option: what it does` of a class docstring. Docstrings under fields are read from the source, so a class
    without a source file has the lines only.
    """
    names = [option.name for option in options_of(kind)]
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= _docstring_lines(base.__doc__ or "")
        found |= _field_docstrings(base)
    return {name: found[name] for name in names if name in found}


def without_option_lines(text: str, names: Collection[str]) -> str:
    """A class docstring without its lines `option: what it does` for these options."""
    rest = OPTION_LINE.sub(lambda match: "" if match[1] in names else match[0], text)
    return rest.rstrip() + "\n"


def construct(method: str, given: Mapping[str, Scalar], seed: int = 0) -> Any:
    """The method with these options. It is made once for each set of options, because methods are frozen.

    An option `seed` that was not given takes the `seed` of the manifest. A ValueError that `__post_init__` raises about
    the options comes through.
    """
    if any(option.name == "seed" for option in options(method)):
        given = {"seed": seed, **given}
    typed = tuple((name, type(value), value) for name, value in sorted(given.items()))
    return _build_method(METHODS.resolve(method), typed)


@lru_cache(maxsize=64)
def _build_method(method: type, typed: tuple[tuple[str, type, Scalar], ...]) -> Any:
    """Makes the method. `typed` holds (name, type, value): 1, 1.0 and True are equal, but are different options."""
    return method(**{name: value for name, _, value in typed})


@cache
def options_of(method: type) -> tuple[Option, ...]:
    """The options of a method class. Raises TypeError where it is no dataclass or a field has another type."""
    """The options of a dataclass, in the order of its fields. Raises TypeError where it has none to be read."""
    if not is_dataclass(method):
        raise TypeError(f"{method.__name__} is not a dataclass, so it has no options to check")
    hints = get_type_hints(method)
    return tuple(
        Option(one.name, _type(method, hints[one.name]), None if one.default is MISSING else one.default)
        for one in fields(method)
        if one.init
    )


def _type(method: type, hint: Any) -> OptionType:
    """The type that a YAML value must have. `float | None` asks for a float, because leaving the option out says
    None."""
    if get_origin(hint) in (Union, UnionType):
        rest = [arm for arm in get_args(hint) if arm is not NoneType]
        hint = rest[0] if len(rest) == 1 else hint
    if get_origin(hint) is Literal:
        return tuple(str(word) for word in get_args(hint))
    if hint in (int, float, bool, str):
        return hint  # type: ignore[no-any-return]
    raise TypeError(f"{method.__name__}: an option is int, float, bool, str or a Literal of words, not {hint}")


def _docstring_lines(text: str) -> Mapping[str, str]:
    """Name -> text of each line `name: what it does` of a class docstring, with its continuation lines."""
    return {match[1]: " ".join(match[2].split()) for match in OPTION_LINE.finditer(text)}


def _field_docstrings(kind: type) -> Mapping[str, str]:
    """Field -> the docstring under it in the class's own source, on one line; empty if there is no source file."""
    import ast
    from inspect import getsource
    from textwrap import dedent

    try:
        (tree,) = ast.parse(dedent(getsource(kind))).body
    except (OSError, TypeError):
        return {}
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        field.target.id: " ".join(under.value.value.split())
        for field, under in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(under, ast.Expr) and isinstance(under.value, ast.Constant) and isinstance(under.value.value, str)
    }
