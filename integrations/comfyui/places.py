"""Find the matrices of a delta among the weights that ComfyUI holds.

ComfyUI names a diffusion model's weights as the code does that the model came from (`diffusion_model.input_blocks...`),
and a delta names them as diffusers does. The tables of names are editc's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from editc.formats.doctor.models import original_parts
from editc.formats.models.ldm_file import find_components

MODEL = "diffusion_model."
"""What ComfyUI puts before the names of a diffusion model's weights."""
TRANSFORMERS: Mapping[Literal["flux", "sd3"], str] = {
    "flux": f"{MODEL}double_blocks.0.",
    "sd3": f"{MODEL}joint_blocks.0.",
}
"""Kind of transformer -> a beginning of names that only it has."""
ENCODERS: Mapping[str, str] = {
    "clip_l.transformer.": "text_encoder",
    "clip_h.transformer.": "text_encoder",
    "clip_g.transformer.": "text_encoder_2",
}
"""What ComfyUI puts before the names of a text encoder's weights -> the component of diffusers that it is. The text
encoder of Stable Diffusion 1 is `clip_l`, that of 2 `clip_h`; SDXL has `clip_l` and `clip_g`."""


@dataclass(frozen=True)
class Place:
    """Where one matrix is among ComfyUI's weights."""

    key: str
    """The name of the weight in ComfyUI."""
    start: int = 0
    """The first row of the matrix, in a weight that holds several."""
    rows: int = 0
    """The number of its rows there. 0: it is the whole weight."""

    @property
    def patch_key(self) -> Any:
        """How a patch names it: by the weight, or by the weight and a range of rows (dimension, first, number)."""
        return (self.key, (0, self.start, self.rows)) if self.rows else self.key

    def take(self, weight: Any) -> Any:
        """The matrix as a view of the weight."""
        return weight.narrow(0, self.start, self.rows) if self.rows else weight


Places = dict[tuple[str, str], Place]
"""(component, name in diffusers) -> where it is."""


def model_places(shapes: Mapping[str, tuple[int, ...]]) -> Places:
    """The places in a MODEL. `shapes`: the name of each weight -> its shape. Empty for a model that editc cannot name:
    neither a Stable Diffusion UNet nor FLUX.1 nor SD3."""
    for kind, beginning in TRANSFORMERS.items():
        if any(name.startswith(beginning) for name in shapes):
            return dict(_transformer_places(kind, shapes))
    try:
        found = find_components(f"model.{name}" for name in shapes if name.startswith(MODEL))
    except ValueError:  # the names contradict one another
        return {}
    pieces = found.get("unet", {})
    return {("unet", name): Place(piece.name.removeprefix("model.")) for name, piece in pieces.items()}


def clip_places(shapes: Mapping[str, tuple[int, ...]]) -> Places:
    """The places in a CLIP. The encoders of FLUX.1 and SD3 are found too, as far as they are CLIPs."""
    found: Places = {}
    for key in shapes:
        for beginning, component in ENCODERS.items():
            if key.startswith(beginning):
                found[component, key.removeprefix(beginning)] = Place(key)
    return found


def _transformer_places(
    kind: Literal["flux", "sd3"], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[tuple[str, str], Place]]:
    """Yield the matrices of FLUX.1 or SD3. Several of diffusers may be one weight, one above the other."""
    for module, parts in original_parts(kind).items():
        key = f"{MODEL}{module}.weight"
        if key not in shapes:
            continue
        start = 0
        for part, rows in zip(parts, _row_counts(shapes[key], len(parts)), strict=True):
            yield ("transformer", f"{part}.weight"), Place(key, start, rows) if len(parts) > 1 else Place(key)
            start += rows


def _row_counts(shape: tuple[int, ...], parts: int) -> tuple[int, ...]:
    """How many rows each matrix has in a weight of this shape. Queries, keys and values have equal numbers; a fourth
    matrix, of a feed-forward layer, has the rest."""
    if parts < 4:
        return (shape[0] // parts,) * parts
    return (*(shape[1],) * 3, shape[0] - 3 * shape[1])
