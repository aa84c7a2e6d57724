"""Finds a build's text encoder: in the model's folder, in a folder that the manifest names, or in the model's own
file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
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
from editc.libraries.device import is_cpu, named_device
from editc.libraries.foreign import quiet
from editc.libraries.loading import library_errors, require_finite
from editc.opening.kept import NOTHING, Kept

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
"""Settings of a CLIP text encoder that its network is made with."""


@dataclass(frozen=True)
class LoadedEncoders:
    """The text encoders of a build, ready to run."""

    streams: Mapping[str, Encoder]
    """Name of a stream -> its encoder."""
    runners: Mapping[str, str]
    """Text encoder -> what runs it: `numpy`, `transformers` or `transformers on cuda:0`. Reports record it."""


@dataclass(frozen=True)
class EncoderSource:
    """Where the text encoders of a model are."""

    folder: Path
    """A pipeline folder, whose encoders are taken unless `inside` is there. It has the tokenizers in either case."""
    fingerprint: str
    """Fingerprint of the encoders. It is the same whether they come from a folder or from a file."""
    inside: AssembledEncoder | None = None
    """The encoder in the model's own file. None where the encoders are folders."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Text encoder -> sha256 of its weights alone (`editc.formats.apply.encoder_marks`)."""
    kept: Kept = NOTHING
    """What is known of the files in their present state."""

    def load(self, family: Family, weights: Weights) -> LoadedEncoders:
        """Loads the encoder of every stream of the family, on the device that EDITC_DEVICE names, else on the CPU.
        `weights` are those of the edited component. Raises E205, E223, E225 and E402."""
        mark, device = projected_fingerprint(self.fingerprint, weights), named_device()
        if self.inside is None:
            from editc.backends.encoders.load import PartLoader, load_streams
            from editc.opening.clip_folder import open_clip
            from editc.opening.t5_folder import open_t5

            clip, t5 = partial(open_clip, find_broken=self.kept.broken), partial(open_t5, find_broken=self.kept.broken)
            light, heavy = PartLoader(self.folder, clip, t5), PartLoader(self.folder, device=device)
            parts = light if is_cpu(device) else heavy
            return LoadedEncoders(load_streams(parts, family.streams, mark, weights), parts.runners())
        encoder = load_clip(self.inside, mark, device)
        return LoadedEncoders({"text": encoder}, {"text_encoder": encoder.model.name})


def find_encoder(manifest: Manifest, model: Model, kept: Kept = NOTHING) -> EncoderSource:
    """Finds the encoders whose rows the cross-attention of this model reads. `kept` knows what is in their files.

    A pipeline folder has its own. A single file is completed by `encoder:` in the manifest, or by the folders beside
    it: an LDM file of SD 1 or 2 needs only a tokenizer; a UNet alone, and SDXL, need `text_encoder*` too.

    Raises E220 (no encoder found), E222 (not the model's own) and E223 (settings unknown).
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
    account = describe_encoders(pipeline_of(whole), digests=kept.digests)
    mark = hash_encoders(account)
    if given is not None and model.layout == "pipeline":
        _require_same(encoder_fingerprint(model), mark, given)
    return EncoderSource(folder, mark, None, weight_marks(account), kept)


def require_encoder(manifest: Manifest, model: Model) -> None:
    """Raises E220 where `find_encoder` would find no encoder. It only looks for the files and hashes none."""
    given = _manifest_folder(manifest)
    folder = pipeline_of(model) if given is None else given
    inside = ldm_encoder.inner_encoders(model)
    if inside:
        if not any((folder / part).is_dir() for part in inside):
            _require_tokenizer(model, folder, inside)
    elif model.layout != "pipeline":
        _require_folders(model, folder)


def load_clip(found: AssembledEncoder, mark: str, device: str = "cpu") -> ClipEncoder:
    """Makes the CLIP text encoder with these weights (under the names of transformers) and settings, on a device.
    Raises E223 if they do not fit together."""
    from editc.backends.encoders.clip import ClipEncoder
    from editc.opening.clip_folder import open_assembled

    light = open_assembled(found) if is_cpu(device) else None
    if light:
        return ClipEncoder(*light, mark)
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

    from editc.backends.encoders.clip_transformers import TransformersClip, tokenize_with

    with quiet():
        model = CLIPTextModel(CLIPTextConfig(**{name: found.settings[name] for name in _SETTINGS}))
        outer = "" if any(name.startswith("text_model.") for name in model.state_dict()) else "text_model."
        weights = found.weights
        state = {name.removeprefix(outer): torch.from_numpy(weights.read(name)).float() for name in weights.names()}
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            message = f"the text encoder in the file cannot be loaded: {str(error).splitlines()[-1].strip()}"
            raise fail("E223", message, help="name a whole diffusers pipeline as the model") from error
        with library_errors("the tokenizer beside the file cannot be loaded", found.tokenizer):
            tokenizer = CLIPTokenizerFast.from_pretrained(found.tokenizer, local_files_only=True)
    require_finite(model, "the text encoder in the file", found.tokenizer)
    tokenizer.model_max_length = found.settings["max_position_embeddings"]
    if found.pad_id is not None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(found.pad_id)
    return ClipEncoder(tokenize_with(tokenizer), TransformersClip(model.eval().to(device)), mark)


def _manifest_folder(manifest: Manifest) -> Path | None:
    """The folder of `encoder:`, relative to the manifest, else to the working directory, else that of a hub id. None
    where the manifest has no `encoder`. Raises E220 for a file."""
    if manifest.encoder is None:
        return None
    beside = Path(manifest.source.name).parent / manifest.encoder
    folder = paths.find_model(str(beside) if beside.exists() else manifest.encoder)
    if not folder.is_dir():
        raise _no_encoder("`encoder` names a file; it must be a folder", folder)
    return folder


def _in_file(model: Model, folder: Path, inside: tuple[str, ...]) -> EncoderSource:
    """The source for encoders in the model's own file. Raises E222 where the folder beside it has other encoders."""
    if len(inside) > 1 and any((folder / part).is_dir() for part in inside):
        message = f"the text encoders in '{folder}' are not those in the model's file"
        raise fail(
            "E222", message, place=str(model.path), help="name the folder of the model that the file was made from"
        )
    from editc.formats.apply.encoder_marks import weight_mark

    found = _require_tokenizer(model, folder, inside)
    return EncoderSource(folder, found.fingerprint(), found, {"text_encoder": weight_mark(found.weights)})


def _require_tokenizer(model: Model, folder: Path, inside: tuple[str, ...]) -> AssembledEncoder:
    """The encoder in the file with its tokenizer. Raises E220 where there is no tokenizer."""
    found = ldm_encoder.assemble_encoder(model, folder)
    if found is None:
        lacking = "tokenizer" if len(inside) == 1 else "folders with the tokenizers and text encoders"
        raise _no_encoder(f"the file holds its text encoder, but '{folder}' has no {lacking} for it", model.path)
    return found


def _require_folders(model: Model, folder: Path) -> None:
    """Raises E220 unless the folder has a text encoder and a tokenizer."""
    for part in ("text_encoder", "tokenizer"):
        if not (folder / part).is_dir():
            raise _no_encoder(f"the model is only a weights file, and '{folder}' has no `{part}` for it", model.path)


def _require_same(own: str, given: str, folder: Path) -> None:
    """Raises E222 where the given encoder is not the model's own. `own` is '' where the model has none."""
    if own and own != given:
        message = f"the text encoder in '{folder}' is not the model's own"
        raise fail("E222", message, place=str(folder), help="leave `encoder` out: the model's folder has its encoder")


def _no_encoder(message: str, place: Path) -> EditcError:
    """E220 with the reason."""
    help_text = (
        "name a diffusers folder or hub id of the same model with `encoder: FOLDER` in the manifest (for SD 1 and 2 "
        "files its `tokenizer` is enough), or put these folders beside the file"
    )
    return fail("E220", message, place=str(place), help=help_text)
