"""The page of a delta or of a build: the sections of the report in another order, with sliders, a place for prompts of
the reader's own, and the signature."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from editc.formats.apply.carried import name_edits
from editc.report.page import template_values
from editc.report.rendering import render
from editc.viewing.signature import SignatureView
from editc.viewing.subject import Subject, refuse_odd_values

PACKAGE = "editc.viewing"
"""The package with the templates and the script of these pages."""
TAKEN = ("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", "base-uri 'none'", "form-action 'none'")
"""What a page may load, besides its script: nothing but what is in it."""

SELF, NONE = "'self'", "'none'"
"""Whom a page may ask for more: its own server, or nobody."""


@dataclass(frozen=True)
class Setting:
    """Where a page is shown."""

    served: bool = False
    """True for a page of a running server. False for a file that is sent to others."""
    absent: str = ""
    """Why no prompt can be tried. Empty where one can."""
    back: str = ""
    """The address of the fleet's page. Empty where there is none."""
    place: str = "index.html"
    """The address of the page itself."""


def delta_page(subject: Subject, signature: SignatureView, setting: Setting) -> str:
    """The whole page as HTML. Raises E971 for a report with values that editc does not write."""
    with refuse_odd_values(subject.path):
        values = {**template_values(subject.pictures, subject.record)}
        values |= {"record": subject.record, "subject": subject, "signature": signature, "setting": setting}
        return fill_in("view.html.j2", {**values, "title": _title(subject), "edited": name_edits(_edits(subject))})


def fill_in(template: str, values: Mapping[str, Any]) -> str:
    """Fill in one of this package's templates, with the script and what the page may do."""
    return render(template, {**values, "script": script(), "policy": policy(values["setting"].served)}, PACKAGE)


def policy(served: bool) -> str:
    """The Content-Security-Policy of a page: its own script runs, and no other. Only a served page may ask its server
    for more."""
    digest = b64encode(sha256(script().encode()).digest()).decode()
    own = (f"script-src 'sha256-{digest}'", f"connect-src {SELF if served else NONE}")
    return "; ".join((*TAKEN, *own))


@cache
def script() -> str:
    """The script of the pages."""
    return files(PACKAGE).joinpath("templates", "view.js").read_text(encoding="utf-8")


def _title(subject: Subject) -> str:
    """The title for the browser's tab."""
    edited = name_edits(_edits(subject)).replace("`", "") if subject.described or subject.whole else ""
    return f"{edited or subject.record['family']['title']} · editc view"


def _edits(subject: Subject) -> Any:
    """The edits, of the report or of the delta."""
    return subject.record["edits"] or subject.described.get("edits", ())
