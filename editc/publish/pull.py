"""Pull what was published, wherever it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from editc.core.ports import Progress, announce
from editc.publish.fetch import Origin
from editc.publish.folder import FolderOrigin
from editc.publish.layout import LayoutOrigin
from editc.publish.places import FolderPlace, HubPlace, LayoutPlace, Place, RegistryPlace, parse_place
from editc.publish.staging import Pulled, receive


def pull(source: str, out: Path | None = None, progress: Progress | None = None) -> Pulled:
    """Fetch a publication into the folder `out`; None: one in the current folder, named like the source.

    Raises E950 to E961, E697, E632 and what reading the delta raises.
    """
    place = parse_place(source)
    announce(progress, f"asking {source} what is there")
    return receive(ORIGINS[type(place)](place), out or Path(default_name(place)), progress)


def default_name(place: Place) -> str:
    """The name of the folder for a source."""
    if isinstance(place, HubPlace):
        return place.repo.rpartition("/")[2]
    if isinstance(place, RegistryPlace):
        return place.repository.rpartition("/")[2]
    return place.folder.absolute().name or "pulled"


def _folder(place: FolderPlace) -> Origin:
    return FolderOrigin(place.typed, place.folder)


def _layout(place: LayoutPlace) -> Origin:
    return LayoutOrigin(place.typed, place.folder, place.tag)


def _registry(place: RegistryPlace) -> Origin:
    from editc.publish.registry import Registry

    return Registry(place.typed, place)


def _hub(place: HubPlace) -> Origin:
    from editc.publish.hub import Hub

    return Hub(place.typed, place)


ORIGINS: Mapping[type[Place], Callable[[Any], Origin]] = {
    FolderPlace: _folder,
    LayoutPlace: _layout,
    RegistryPlace: _registry,
    HubPlace: _hub,
}
"""Kind of place -> what reads from there."""
