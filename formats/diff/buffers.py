"""Recognise tensors of a file that are not weights of their own: buffers that a library computes, and copies of tied
embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from editc.formats.models.model import Checkpoint, Tensor

POSITION_BUFFERS = frozenset({"position_ids", "token_type_ids"})
"""Last parts of the names of integers that count tokens, in CLIP, BERT and ViT of older versions of transformers."""
CONFIG_BUFFERS = frozenset({"inv_freq", "original_inv_freq", "masked_bias", "cos_cached", "sin_cached"})
"""Last parts of the names of what follows from the configuration: rotary embeddings, and the number that a mask
holds."""
CAUSAL_MASKS = frozenset({"bias", "mask", "causal_mask"})
"""Last parts of the names of causal masks, of shape (1, 1, n, n), in GPT-2, GPT-J and GPT-NeoX. Of another shape,
tensors with these names are weights."""
EMBEDDINGS = frozenset(
    {
        *("embed_tokens", "wte", "word_embeddings", "embed_in", "shared", "token_embedding", "tok_embeddings"),
        *("lm_head", "embed_out", "output"),
    }
)
"""Modules whose weights may be one and the same tensor: a model's input and output embedding, where they are tied."""


def is_buffer(name: str, tensor: Tensor) -> bool:
    """True for a tensor that libraries compute when they load a model, whatever the file says."""
    leaf, shape = name.rpartition(".")[2], tensor.shape
    if leaf in POSITION_BUFFERS:
        return tensor.dtype[0] in "IU"
    return leaf in CONFIG_BUFFERS or (
        leaf in CAUSAL_MASKS and len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]
    )


def is_embedding(name: str) -> bool:
    """True for the weight of an input or output embedding, by its name."""
    parts = name.split(".")
    return len(parts) > 1 and parts[-1] == "weight" and parts[-2] in EMBEDDINGS


def tied_copy(part: Checkpoint, name: str) -> str:
    """The name of the other embedding in the same file that `name` is a copy of, byte for byte; '' where there is
    none."""
    return next(_find_copies(part, name, part.names()), "") if is_embedding(name) else ""


def _find_copies(part: Checkpoint, name: str, names: Iterable[str]) -> Iterator[str]:
    """The other embeddings among `names` that have the same bytes as `name`."""
    mine = part.where(name)
    for other in (one for one in names if one != name and is_embedding(one)):
        theirs = part.where(other)
        if (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape) and mine.read_stored() == theirs.read_stored():
            yield other
