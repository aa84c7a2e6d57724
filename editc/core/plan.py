"""What will be edited: the manifest, the model's family, and the sites that `locate` chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from editc.core.delta import Site
from editc.core.family import Family
from editc.core.manifest import Manifest, Request
from editc.core.text import count, mentions

if TYPE_CHECKING:  # `editc check` makes plans and measures nothing
    from editc.core.measurements import Depth


@dataclass(frozen=True)
class SiteShare:
    """How much one site carries the edited concepts, as `sites: auto` measured it."""

    site: Site
    """The site."""
    alone: float
    """The mean of `by_concept`. 0: the site carries nothing; 1: as much as all sites together."""
    by_concept: tuple[float, ...]
    """For each concept: how much the predicted noise changes when this site alone reads the target instead, as a share
    of the change when all sites do."""
    reached_without: float | None
    """The share that the chosen sites reach without this one, for the worst concept. None for a site that was not
    chosen."""

    @property
    def chosen(self) -> bool:
        """True where the site will be edited."""
        return self.reached_without is not None


@dataclass(frozen=True)
class Ranking:
    """What `sites: auto` measured on an image model. `passes.images.locate.ranked_sites` says how."""

    share: float
    """The share that the manifest asks for, 0 to 1."""
    concepts: tuple[str, ...]
    """The edited concepts, in the order of `reached`."""
    reached: tuple[float, ...]
    """For each concept: the share that the chosen sites reach together."""
    sites: tuple[SiteShare, ...]
    """Every candidate: chosen sites first, then by descending `alone`."""


@dataclass(frozen=True)
class Stage:
    """Edits of a language model that one method solves together. Each stage starts from the weights that the stages
    before it left."""

    kind: Literal["fact", "redirect", "ablate", "forget", "learn"]
    """The kind of its edits."""
    method: str
    """The name of the method in the registry."""
    edits: tuple[int, ...]
    """Positions of the edits in the manifest."""
    sites: tuple[int, ...]
    """Positions of the edited sites in `Plan.sites`, by ascending layer."""
    depth: Depth | None = None
    """The evidence by which the layers were chosen. None where the manifest or the family gives the layers."""


@dataclass(frozen=True)
class Plan:
    """A manifest with the family of its model and the sites that will be edited. `locate` makes it."""

    manifest: Manifest
    """What the user asked for."""
    family: Family
    """The family of the model."""
    model: str
    """Where the model is, as the user typed it."""
    sites: tuple[Site, ...]
    """The sites to edit, by name."""
    evidence: Mapping[str, str]
    """Name of a site -> why it was chosen. Where evidence decided, it also says why the other candidates were not."""
    ranking: Ranking | None = None
    """What `sites: auto` measured on an image model. None where the manifest does not ask for it, and for language
    models."""
    stages: tuple[Stage, ...] = ()
    """Language models: which edits change which sites, in the order in which they are solved. Empty for image
    models."""

    def __repr__(self) -> str:
        """A short text, because a plan holds its manifest and family."""
        return f"<Plan for {self.model} ({self.family.name}): {count(len(self.sites), 'site')}>"

    def sites_of(self, group: str) -> tuple[Site, ...]:
        """The sites of one group, in the order of the plan."""
        return tuple(site for site in self.sites if site.group == group)

    def contexts(self, request: Request | None = None) -> tuple[str, ...]:
        """The sentences with `{}` that names are put into: those of the request, else of the manifest, else of the
        family. Sentences that have the attribute of a `from` in them are left out: there it would stay."""
        own = None if request is None else request.contexts
        found = own or self.manifest.contexts or self.family.contexts
        if request is None or request.attribute is None:
            return found
        name = request.attribute.name
        return tuple(one for one in found if not mentions(one, name)) or found
