"""The formats that deltas are exported in."""

from __future__ import annotations

from editc.registry.table import Table

FORMATS = Table(
    "format",
    {
        "": {
            "checkpoint": "editc.formats.exports.checkpoint:FORMAT",
            "diff": "editc.formats.exports.diff:FORMAT",
            "diffusers": "editc.formats.exports.diffusers:FORMAT",
            "gguf-lora": "editc.formats.exports.gguf_lora:FORMAT",
            "kohya": "editc.formats.exports.kohya:FORMAT",
            "onnx-adapter": "editc.formats.exports.onnx.adapter:FORMAT",
            "onnx-graph": "editc.formats.exports.onnx.graph:FORMAT",
            "onnx-multiplier": "editc.formats.exports.onnx.multiplier:FORMAT",
            "peft": "editc.formats.exports.peft:FORMAT",
            "safetensors": "editc.formats.exports.safetensors:FORMAT",
            "xor-index": "editc.formats.exports.xor_index:FORMAT",
        },
    },
    needs=("name", "output", "says", "suits", "write"),
)
"""Name of a format -> its `Format`, for any kind of model."""
