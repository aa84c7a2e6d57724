"""Nodes for ComfyUI that put an editc delta into a model, say what it is, and take it out again."""

try:
    import editc  # noqa: F401
except ImportError as error:
    message = "the nodes of editc need the package `editc` in ComfyUI's Python: see the README beside this file"
    raise ImportError(message) from error

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
