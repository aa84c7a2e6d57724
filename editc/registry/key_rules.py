"""The key rules, by which the rows that an image edit changes are found."""

from __future__ import annotations

from editc.registry.table import Table

KEY_RULES = Table(
    "key rule",
    {
        "image": {
            "aligned": "editc.passes.images.keys.rules.aligned:ALIGNED",
            "last": "editc.passes.images.keys.rules.last:LAST",
            "span": "editc.passes.images.keys.rules.span:SPAN",
            "matched": "editc.passes.images.keys.rules.matched:MATCHED",
            "eot": "editc.passes.images.keys.rules.eot:EOT",
        },
    },
    lambda rule: "image",
    needs=("options", "prompts", "pairs", "edit_divisor", "ridge", "preserve_weight", "preserved_sums"),
)
"""Name of a key rule -> its `KeyRule`. Only edits of image models have key rules."""
