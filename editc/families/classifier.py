"""The family of classifiers of transformers: their head is one matrix with a bias."""

from __future__ import annotations

from types import MappingProxyType

from editc.core.family import Family, Group

CLASSIFIER = Family(
    name="image-classifier",
    title="Image classifiers (ViT, ResNet, CLIP and others)",
    component="model",
    patterns={"head": "*classifier*.weight"},
    marker=None,
    text_width=None,
    neutral="",
    default_method="row",
    contexts=(),
    default_roles=("head",),
    groups=MappingProxyType({"head": Group(("head",), (), "the features that the head reads of an image")}),
    streams=MappingProxyType({}),
    notes=(
        "only the head is edited: the features still tell the class apart, and a new head could be trained on them",
        "`editc head build` edits it; `editc build` and `editc verify` do not",
    ),
    models="classifier",
)
"""Models of transformers with `id2label` in config.json and a head named `classifier`."""
