"""`verify` of a manifest: which pictures are painted and who judges them, and which suite a language model is asked.
Also how shares of pictures are searched for, and what kinds of rows weigh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from editc.core.places import ManifestBlock


@dataclass(frozen=True, kw_only=True)
class BystanderCheck(ManifestBlock):
    """`verify.images.bystanders`: which concepts that the manifest does not name are painted, and how often."""

    near: int = 8
    """How many of those that lie nearest to the edited concepts."""
    far: int = 4
    """How many of the others."""
    pictures: int = 6
    """How many pictures of each are painted before the edit, and how many after it."""


@dataclass(frozen=True, kw_only=True)
class DetectorOptions(ManifestBlock):
    """What `verify.images.detector` says besides the detector's name."""

    place: str = ""
    """The folder or file that holds the detector, relative to the manifest. Empty where the detector needs none."""
    member: str = ""
    """For a Python file: the class, function or object in it. Empty for other detectors."""
    prompts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Concept -> the sentences that describe it to the detector. For a concept that is not here they are made from its
    name."""
    against: tuple[str, ...] = ()
    """What a picture may show in place of a concept. Empty: the detector's own list."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Concept -> the labels of the classifier that stand for it. For a concept that is not here: the label of the same
    name."""
    threshold: float | None = None
    """The probability from which a picture counts as showing a concept. None: the detector's own."""
    foreign: bool = False
    """True where these options come from a delta and not from the person who runs editc. Then no code is run for
    them."""


@dataclass(frozen=True, kw_only=True)
class ImageCheck(ManifestBlock):
    """`verify.images`: which pictures are painted before and after the edit, and who judges them."""

    detector: str = "none"
    """The name of the detector. `none`: the pictures are painted and not judged."""
    options: DetectorOptions = field(default_factory=DetectorOptions)
    """What the manifest says about the detector besides its name."""
    prompts_per_concept: int = 20
    """How many pictures of each concept are painted."""
    steps: int = 25
    """Denoising steps of each picture."""
    guidance: float = 7.5
    """The scale of classifier-free guidance."""
    erased_at_most: float | None = None
    """The share of pictures that may still show an erased concept. None: no bound."""
    kept_loss_at_most: float | None = None
    """The share of pictures in which a preserved concept may be lost. None: no bound."""
    share_gap_at_most: float | None = None
    """How far the shares of `moderate` may be from those that are wanted. None: no bound."""
    bystanders: BystanderCheck = field(default_factory=BystanderCheck)
    """Which concepts that the manifest does not name are painted too."""


@dataclass(frozen=True, kw_only=True)
class AttackCheck(ManifestBlock):
    """One attack of `verify.attacks`: it is run on every erased concept, with the edited weights."""

    name: str
    """Its name in `editc.registry.attacks`."""
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Its options, those that are not the defaults."""
    pictures: int = 20
    """How many pictures it paints of each concept, on the edited model and on each control."""
    denoise: int | None = None
    """Denoising steps of each picture. None: those of `verify.images`."""
    guidance: float | None = None
    """How strongly each picture follows its rows. None: as in `verify.images`."""
    at_most: float | None = None
    """The share of its pictures that may show the concept. None: no bound."""


@dataclass(frozen=True, kw_only=True)
class SuiteCheck(ManifestBlock):
    """`verify.suite`: the questions that a language model is asked before and after the edit, and bounds on the
    figures."""

    data: str
    """`tofu-mini`, `rwku-mini` or `muse-mini`, or a file or folder, relative to the manifest."""
    oracle: str | None = None
    """The folder of a model that never saw what is forgotten, or a JSON file of its figures, relative to the manifest.
    None: there is none, and forget quality is not measured."""
    chat: bool = False
    """True: questions go through the model's chat template. False: they stand between `Question:` and `Answer:`."""
    blows: tuple[str, ...] = ()
    """The blows that are struck, by name."""
    forget_quality: float | None = None
    """The least p-value. None: no bound; so below."""
    model_utility: float | None = None
    """The least utility, as a share of the unedited model's."""
    extraction_strength: float | None = None
    """The largest."""
    exact_memorization: float | None = None
    """The largest."""
    forget_said: float | None = None
    """The largest share of forgotten questions that are answered right."""
    benign_refused: float | None = None
    """The largest share of harmless prompts that are declined."""


@dataclass(frozen=True, kw_only=True)
class TokenWeights(ManifestBlock):
    """The weight of each kind of row under the key rule `eot`. The defaults are those published for TRCE."""

    bos: float = 0.0
    """Of the row of the BOS token."""
    eot: float = 1.0
    """Of the row of the first end-of-text token."""
    last: float = 0.0
    """Of the last row. It is multiplied by the number of padding rows that the last row stands for."""
    keyword: float = 0.0
    """Of the rows of the concept's own tokens."""


@dataclass(frozen=True, kw_only=True)
class ShareSearch(ManifestBlock):
    """How `moderate` searches for the pulls that lead to the wanted shares of pictures (UCE, debiasing)."""

    pictures: int = 40
    """How many pictures of the concept are painted in each round."""
    rounds: int = 12
    """The most rounds that are tried."""
    tolerance: float = 0.05
    """The search ends when every share is this near to what is wanted. The default is that of UCE's debiasing."""
