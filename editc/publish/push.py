"""Publish a delta with its evidence, wherever the target is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from editc.core.diagnostics import fail
from editc.core.ports import Progress, announce
from editc.publish.card import card_text
from editc.publish.listing import Listing
from editc.publish.parcel import CARD, Build, Item, Parcel, check_signed_folder, collect
from editc.publish.places import FolderPlace, HubPlace, LayoutPlace, Place, RegistryPlace, parse_place


@dataclass(frozen=True)
class Pushed:
    """What `push` published."""

    place: str
    """Where it lies, as `pull` takes it: pinned to a digest or a commit where the target has one."""
    listing: Listing
    """The files."""


def push(
    build: Build,
    target: str,
    card: Path | None = None,
    licence: str = "",
    private: bool = False,
    progress: Progress | None = None,
) -> Pushed:
    """Publish a delta. `card` is a model card of the user's own; None: README.md of the folder, or one that is made.
    `private`: a repository that is made on the hub is private.

    Raises E950 to E961, E697, E632 and what reading the delta raises.
    """
    place = parse_place(target)
    if private:
        place = _private(place)
    announce(progress, "collecting the files")
    parcel = with_card(collect(build), card, licence, bool(build.signed))
    check_signed_folder(parcel, build)
    announce(progress, f"publishing to {target}")
    return PUSHERS[type(place)](parcel, place)


def with_card(parcel: Parcel, card: Path | None, licence: str, signed: bool) -> Parcel:
    """The parcel with a model card. `signed`: the whole folder is, so it keeps the card that it has, or none."""
    others = tuple(item for item in parcel.items if item.role != "card")
    if card is not None:
        return replace(parcel, items=(*others, Item(CARD, "card", card)))
    if parcel.role("card") or signed:
        return parcel
    return replace(parcel, items=(*others, Item(CARD, "card", data=card_text(parcel, licence).encode())))


def _private(place: Place) -> Place:
    """The place on the hub, private. Raises E951 for another place: who reads there, editc does not decide."""
    if isinstance(place, HubPlace):
        return replace(place, private=True)
    help_text = "leave out --private, and make the folder or the repository private yourself"
    raise fail("E951", "only a repository on the hub is made private by editc", place=place.typed, help=help_text)


def title_of(parcel: Parcel) -> str:
    """A name for the publication where the target gives none: the delta's file without its ending."""
    return Path(parcel.role("delta")[0].name).stem


def _to_folder(parcel: Parcel, place: FolderPlace) -> Pushed:
    from editc.publish.folder import write_folder

    return Pushed(str(place.folder), write_folder(parcel, place.folder))


def _to_layout(parcel: Parcel, place: LayoutPlace) -> Pushed:
    from editc.publish.layout import write_layout

    listing, _ = write_layout(parcel, place.folder, place.tag, title_of(parcel))
    return Pushed(f"oci:{place.folder}:{place.tag}", listing)


def _to_registry(parcel: Parcel, place: RegistryPlace) -> Pushed:
    from editc.publish.registry import Registry

    if place.digest:
        message = "nothing can be published under a digest"
        raise fail("E951", message, place=place.typed, help="name a tag: oci://host/repository:tag")
    listing, digest = Registry(place.typed, place).push(parcel, title_of(parcel))
    return Pushed(f"oci://{place.host}/{place.repository}@{digest}", listing)


def _to_hub(parcel: Parcel, place: HubPlace) -> Pushed:
    from editc.publish.hub import Hub

    listing, commit = Hub(place.typed, place).push(parcel)
    return Pushed(f"hf://{place.repo}@{commit}", listing)


PUSHERS: Mapping[type[Place], Callable[[Parcel, Any], Pushed]] = {
    FolderPlace: _to_folder,
    LayoutPlace: _to_layout,
    RegistryPlace: _to_registry,
    HubPlace: _to_hub,
}
"""Kind of place -> what publishes there."""


def write_card(build: Build, out: Path | None, licence: str) -> Path:
    """Write the model card of a delta, to `out` or as README.md beside it. Raises E697 where the file is there."""
    from editc.core.storage import disk

    file = out or build.delta.parent / CARD
    if file.exists() and out is None:
        message = "the result cannot be written there: there is a card already"
        raise fail("E697", message, place=str(file), help="name another file with --out, or remove this one")
    disk.check_file(file)
    with disk.guard_writes(file):
        disk.replace_file(file, card_text(collect(build), licence).encode())
    return file
