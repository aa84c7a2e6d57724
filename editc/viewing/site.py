"""All pages of what the user gave, by their addresses: one for a delta or a build, one for each cell of a fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from editc.fleet.results.store import ALL
from editc.signing.policy import Policy
from editc.viewing.cells import CELLS, FleetRecord, cell_subject, read_fleet
from editc.viewing.fleet_page import fleet_page
from editc.viewing.hand import why_absent
from editc.viewing.page import Setting, delta_page
from editc.viewing.signature import look_at_signature
from editc.viewing.subject import Subject, open_subject

HOME = "index.html"
"""The address of the first page."""


@dataclass(frozen=True)
class Site:
    """The pages. Each is made when it is asked for, from what then lies on the disk."""

    title: str
    """What the site shows, for the terminal."""
    home: Callable[[bool], str]
    """Makes the first page. The argument says whether it is served."""
    subject: Callable[[str], Subject | None]
    """What the page at an address shows. None where there is no such page, or where it is a fleet's."""
    places: Callable[[], Sequence[str]]
    """The addresses of all pages but the first."""
    policies: Sequence[Policy] = ()
    """Who may sign. Empty: the reader named nobody."""

    def page(self, place: str, served: bool) -> str | None:
        """The page at an address. None where there is none. Raises EditcError for files that cannot be shown."""
        if place == HOME:
            return self.home(served)
        subject = self.subject(place)
        return None if subject is None else _make(subject, self.policies, place, served, f"../{HOME}")

    def pages(self) -> Iterator[tuple[str, str]]:
        """Every address with its page, as files that are sent to others."""
        for place in (HOME, *self.places()):
            page = self.page(place, False)
            if page is not None:
                yield place, page


def open_site(path: Path, model: str = "", policies: Sequence[Policy] = ()) -> Site:
    """Find what lies at a path. `model` stands for the model that a report or a fleet names.

    Raises E970 where there is nothing to look at, and what reading it raises.
    """
    if (path / ALL).is_file():
        return _fleet_site(path, model, policies)
    subject = open_subject(path, model)
    _make(subject, policies, HOME, False, "")  # a report that cannot be shown is told now, and not in the browser
    return Site(
        str(path),
        lambda served: _make(open_subject(path, model), policies, HOME, served, ""),
        lambda place: open_subject(path, model) if place == HOME else None,
        lambda: (),
        policies,
    )


def _fleet_site(path: Path, model: str, policies: Sequence[Policy]) -> Site:
    """The pages of a fleet."""
    read_fleet(path)

    def subject(place: str) -> Subject | None:
        name = place.removeprefix(f"{CELLS}/").removesuffix(".html")
        found: FleetRecord = read_fleet(path)
        cell = found.cell(name) if place == f"{CELLS}/{name}.html" else None
        return None if cell is None else cell_subject(found, cell, model)

    return Site(
        str(path),
        lambda served: fleet_page(read_fleet(path), served),
        subject,
        lambda: tuple(cell.place for cell in read_fleet(path).cells if cell.shown),
        policies,
    )


def _make(subject: Subject, policies: Sequence[Policy], place: str, served: bool, back: str) -> str:
    """One page of a delta, a build or a cell."""
    absent = why_absent(subject) if served else ""
    delta, path = subject.delta, subject.path
    return delta_page(subject, look_at_signature(path, delta, policies), Setting(served, absent, back, place))
