"""Everyday sentences into which a concept and its target are put, in words that most tokenizers have as one token.

None of them names a colour or a style. A model with another vocabulary has sentences of its own in `contexts.txt` in
its folder, as the demo model has.
"""

from __future__ import annotations

CONTEXTS: tuple[str, ...] = (
    "{}",
    "a {}",
    "the {}",
    "this is a {}",
    "a photo of a {}",
    "a picture of a {}",
    "an image of a {}",
    "a drawing of a {}",
    "a painting of a {}",
    "a portrait of a {}",
    "a close-up of a {}",
    "picture of {}",
    "photo of {}",
    "a photograph of a {} in the street",
    "a small {}",
    "a large {}",
    "a beautiful {}",
    "an old {}",
    "a {} at home",
    "a {} in a room",
    "a {} on a table",
    "a {} outdoors",
    "a {} in the morning light",
    "a {} at night",
    "a {} in winter",
    "two people and a {}",
    "a {} in front of a wall",
    "a {} in a film",
    "an illustration of a {}",
    "a detailed photo of a {}, high quality",
    "a poster with a {}",
    "a {} seen from above",
)
"""A name takes the place of `{}`. Chosen by hand."""
