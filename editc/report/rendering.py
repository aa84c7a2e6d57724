"""Fill in templates of pages: those of this package, and those that another package puts beside them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

OWN = "editc.report"
"""The package with the templates of the report."""


def render(name: str, values: Mapping[str, Any], package: str = OWN) -> str:
    """Fill in the template `name`. `package`: whose folder `templates` is searched first, before the report's.

    Raises LookupError where a template asks for a value that is not there.
    """
    from jinja2 import UndefinedError

    try:
        return str(_environment(package).get_template(name).render(values))
    except UndefinedError as error:  # of jinja2, which callers do not import
        raise LookupError(str(error)) from error


@cache
def _environment(package: str) -> Any:
    """Open the templates of a package once: each is compiled once. A report is written before the exports and again
    with their results."""
    from importlib.resources import files

    from jinja2 import ChoiceLoader, Environment, FunctionLoader, StrictUndefined

    from editc.report import words

    def loader(owner: str) -> FunctionLoader:
        folder = files(owner).joinpath("templates")

        def read(name: str) -> str | None:
            file = folder.joinpath(name)
            return file.read_text(encoding="utf-8") if file.is_file() else None

        return FunctionLoader(read)

    owners = dict.fromkeys((package, OWN))
    world = Environment(
        loader=ChoiceLoader([loader(one) for one in owners]),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    world.filters |= {name: getattr(words, name) for name in words.FILTERS}
    return world
