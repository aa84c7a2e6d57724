"""Where a build's text encoder comes from: the model's folder, a folder that the manifest names, or the file itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from editc.core.diagnostics import EditcError, fail
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.ports import Encoder, Weights
from editc.formats.models import ldm_encoder, paths
from editc.formats.models.fingerprint import (
    describe_encoders,
    encoder_fingerprint,
    hash_encoders,
    pipeline_of,
    projected_fingerprint,
)
from editc.formats.models.ldm_encoder import AssembledEncoder
from editc.formats.models.model import Model, open_model
from editc.libraries.foreign import quiet
from editc.libraries.loading import library_errors, require_finite

if TYPE_CHECKING:
    from editc.backends.encoders.clip import ClipEncoder

_SETTINGS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
    "max_position_embeddings",
    "hidden_act",
    "layer_norm_eps",
)


@dataclass(frozen=True)
class EncoderSource:
    """A pipeline `folder` whose encoders are the model's, or else the encoder `inside` the model's own file; and the
    fingerprint that both ways have."""

    folder: Path
    fingerprint: str
    inside: AssembledEncoder | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    """Text encoder -> sha256 of its weights alone, as `editc.formats.apply.encoder_marks` makes it."""

    def load(self, family: Family, weights: Weights) -> Mapping[str, Encoder]:
        """The encoder of every stream of the family; `weights` are the edited component's. Raises E205 and E223."""
        mark = projected_fingerprint(self.fingerprint, weights)
        if self.inside is None:
            from editc.backends.encoders.load import load_streams

            return load_streams(self.folder, family.streams, mark, weights)
        return {"text": load_clip(self.inside, mark)}


def find_encoder(manifest: Manifest, model: Model) -> EncoderSource:
    """The encoders whose rows this model's cross-attention sees.

    A pipeline folder has its own. A single file is completed by `encoder:`, or by the folders beside it: an LDM file
    of SD 1 or 2 needs a tokenizer only, a UNet alone and SDXL need `text_encoder*` too.
    Raises E220 (none can be had), E222 (not the model's own), E223 (settings unknown).
    """
    from editc.formats.apply.encoder_marks import weight_marks

    given = _manifest_folder(manifest)
    folder = pipeline_of(model) if given is None else given
    inside = ldm_encoder.inner_encoders(model)
    if inside and not ldm_encoder.has_same_encoders(model, folder):
        return _in_file(model, folder, inside)
    if model.layout != "pipeline":
        _require_folders(model, folder)
    whole = model if model.layout == "pipeline" and given is None else open_model(folder)
    account = describe_encoders(pipeline_of(whole))
    mark = hash_encoders(account)
    if given is not None and model.layout == "pipeline":
        _require_same(encoder_fingerprint(model), mark, given)
    return EncoderSource(folder, mark, None, weight_marks(account))


def require_encoder(manifest: Manifest, model: Model) -> None:
    """Raises E220 where `find_encoder` finds no encoder to go with the weights: looks for the files and hashes none."""
    given = _manifest_folder(manifest)
    folder = pipeline_of(model) if given is None else given
    inside = ldm_encoder.inner_encoders(model)
    if inside:
        if not any((folder / part).is_dir() for part in inside):
            _require_tokenizer(model, folder, inside)
    elif model.layout != "pipeline":
        _require_folders(model, folder)


def load_clip(found: AssembledEncoder, mark: str) -> ClipEncoder:
    """The CLIP with these weights (in transformers' names) and settings; E223 if they do not fit together."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

    from editc.backends.encoders.clip import ClipEncoder

    with quiet():
        model = CLIPTextModel(CLIPTextConfig(**{name: found.settings[name] for name in _SETTINGS}))
        outer = "" if any(name.startswith("text_model.") for name in model.state_dict()) else "text_model."
        weights = found.weights
        state = {name.removeprefix(outer): torch.from_numpy(weights.read(name)).float() for name in weights.names()}
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            message = f"the text encoder in the file cannot be put together: {str(error).splitlines()[-1].strip()}"
            raise fail("E223", message, help="name a whole diffusers pipeline as the model") from error
        with library_errors("the tokenizer beside the file cannot be loaded", found.tokenizer):
            tokenizer = CLIPTokenizerFast.from_pretrained(found.tokenizer, local_files_only=True)
    require_finite(model, "the text encoder in the file", found.tokenizer)
    tokenizer.model_max_length = found.settings["max_position_embeddings"]
    if found.pad_id is not None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(found.pad_id)
    return ClipEncoder(tokenizer, model.eval(), mark)


def _manifest_folder(manifest: Manifest) -> Path | None:
    """The folder of `encoder:`, relative to the manifest first, then to where the command runs; or a hub id's."""
    if manifest.encoder is None:
        return None
    beside = Path(manifest.source.name).parent / manifest.encoder
    folder = paths.find_model(str(beside) if beside.exists() else manifest.encoder)
    if not folder.is_dir():
        raise _no_encoder("`encoder` names a file; it must be a folder", folder)
    return folder


def _in_file(model: Model, folder: Path, inside: tuple[str, ...]) -> EncoderSource:
    if len(inside) > 1 and any((folder / part).is_dir() for part in inside):
        message = f"the text encoders in '{folder}' are not those in the model's file"
        raise fail("E222", message, place=str(model.path), help="name the folder of the model that the file is made of")
    from editc.formats.apply.encoder_marks import weight_mark

    found = _require_tokenizer(model, folder, inside)
    return EncoderSource(folder, found.fingerprint(), found, {"text_encoder": weight_mark(found.weights)})


def _require_tokenizer(model: Model, folder: Path, inside: tuple[str, ...]) -> AssembledEncoder:
    """The encoder inside the file with a tokenizer; E220 without one."""
    found = ldm_encoder.assemble_encoder(model, folder)
    if found is None:
        lacking = "a tokenizer" if len(inside) == 1 else "tokenizers and encoders as folders"
        raise _no_encoder(
            f"the file holds its text encoder, but '{folder}' has not {lacking} to go with it", model.path
        )
    return found


def _require_folders(model: Model, folder: Path) -> None:
    for part in ("text_encoder", "tokenizer"):
        if not (folder / part).is_dir():
            raise _no_encoder(f"the model is weights alone, and '{folder}' has no `{part}` to go with them", model.path)


def _require_same(own: str, given: str, folder: Path) -> None:
    if own and own != given:
        message = f"the text encoder in '{folder}' is not the model's own"
        raise fail("E222", message, place=str(folder), help="leave `encoder` out: the model's folder has its encoder")


def _no_encoder(message: str, place: Path) -> EditcError:
    help_text = (
        "name a diffusers folder or hub id of the same model with `encoder: FOLDER` in the manifest (for SD 1 and 2 "
        "files its `tokenizer` is enough), or put these folders beside the file"
    )
    return fail("E220", message, place=str(place), help=help_text)
