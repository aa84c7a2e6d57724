"""The text encoders of a pipeline in memory, as `apply` compares those on the disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from editc.core.delta import Array, Delta
from editc.core.diagnostics import EditcError
from editc.formats.apply.encoder_marks import Marks, count_embeddings, count_vocabulary
from editc.formats.models.fingerprint import describe_encoder, hash_encoders, read_vocabulary
from editc.live.components import LiveModel
from editc.live.slots import Slot, find_slots
from editc.live.storage import locate, read
from editc.live.tensors import DTYPES
from editc.numerics.bits import dtypes

EXACT = ("F16", "F32", "F64")
"""dtypes that hold every number of a fingerprint, which is over float16."""
NONE_HERE = "no text encoder is in memory beside these weights, so it was not compared with the delta's"


@dataclass(frozen=True)
class LiveTensors:
    """The tensors of a module, as `describe_encoder` reads them."""

    slots: Mapping[str, Slot]
    """Name -> where the tensor is."""

    @staticmethod
    def of(module: Any, left_out: Sequence[str] = ()) -> LiveTensors:
        """Everything that the module would save, but for some names."""
        return LiveTensors(find_slots(module, [name for name in module.state_dict() if name not in left_out]))

    def names(self) -> Sequence[str]:
        """The names of all parameters, sorted."""
        return sorted(self.slots)

    def dtype(self, name: str) -> str:
        """The dtype of a tensor, as safetensors names it. Raises LookupError where it is in no memory."""
        plain = str(self._tensor(name).dtype).removeprefix("torch.")
        return DTYPES.get(plain, plain)

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape."""
        return tuple(self._tensor(name).shape)

    def raw(self, name: str) -> bytes:
        """Its bytes."""
        return read(self.slots[name])

    def read(self, name: str) -> Array:
        """The tensor in float64."""
        return dtypes.decode(self.raw(name), self.dtype(name), self.shape(name))

    def _tensor(self, name: str) -> Any:
        found = locate(self.slots[name])
        if not found.copies:
            raise LookupError(found.fault)
        return self.slots[name].matrix(found.copies[0])


@dataclass(frozen=True)
class LiveEncoders:
    """The text encoders of a model in memory."""

    model: LiveModel
    """The model."""

    @property
    def place(self) -> str:
        """What messages call the model."""
        return self.model.place

    def marks(self) -> Marks:
        """The fingerprint that files of these encoders have, in each spelling, or none and why."""
        if not self._modules:
            return Marks((), NONE_HERE)
        if self.model.absent:
            names = " and ".join(self.model.absent)
            return Marks((), f"the pipeline was loaded without {names}, so its text encoders were not compared")
        try:
            found = tuple(self._spellings({}))
            rounded = any(one.dtype(name) not in EXACT for one in self._floats() for name in one.names())
        except (LookupError, TypeError, ValueError, OSError, AttributeError, EditcError) as error:
            return Marks((), f"the text encoder in memory was not compared with the delta's: {_why(error)}")
        why = "the text encoder in memory holds fewer digits than the delta's fingerprint, so it was not compared"
        return Marks(found, why if rounded else "", rounded)

    def marks_without_added_tokens(self) -> tuple[str, ...]:
        """The same with as many rows of token embeddings as the vocabularies had before tokens were added."""
        counts = {
            name.replace("tokenizer", "text_encoder"): count_vocabulary(known)
            for name, known in self._vocabularies.items()
        }
        added = {
            name: counts[name]
            for name, module in self._modules.items()
            if 0 < counts.get(name, 0) < count_embeddings(LiveTensors.of(module))
        }
        return tuple(self._spellings(added)) if added else ()

    def parts_match(self, delta: Delta) -> bool | None:
        """None: in memory no encoder lies inside another file."""
        return None

    @cached_property
    def _modules(self) -> Mapping[str, Any]:
        """Name -> each text encoder."""
        return {name: part for name, part in self.model.components.items() if name.startswith("text_encoder")}

    @cached_property
    def _vocabularies(self) -> Mapping[str, Any]:
        """Name -> the vocabulary of each tokenizer, read from the files that it writes."""
        found = {}
        for name, tokenizer in self.model.tokenizers.items():
            with TemporaryDirectory(prefix="editc-") as folder:
                tokenizer.save_pretrained(folder)
                found[name] = read_vocabulary(Path(folder))
        return found

    def _floats(self) -> Iterator[LiveTensors]:
        """The numbers of each encoder that a fingerprint covers."""
        for module in self._modules.values():
            every = LiveTensors.of(module)
            yield LiveTensors({n: every.slots[n] for n in every.names() if every.dtype(n) in dtypes.EDITABLE})

    def _spellings(self, rows: Mapping[str, int]) -> Iterator[str]:
        """Yield the fingerprints that files of these encoders may have. `rows`: text encoder -> how many rows of its
        token embeddings count."""
        each = [[(name, one) for one in _spell(part, rows.get(name))] for name, part in self._modules.items()]
        for chosen in product(*each):
            yield hash_encoders((dict(chosen), self._vocabularies))


def _spell(module: Any, rows: int | None) -> list[Any]:
    """An encoder as its file may describe it: with weights that are tied to others or without, and with settings that
    are the library's defaults or without."""
    tied = [*(getattr(module, "all_tied_weights_keys", None) or {})]
    found: list[Any] = []
    for left_out in ([], tied) if tied else ([],):
        tensors = LiveTensors.of(module, left_out)
        for settings in (module.config.to_dict(), module.config.to_diff_dict()):
            one = describe_encoder(tensors, settings, rows)
            found += [] if one in found else [one]
    return found


def _why(error: Exception) -> str:
    """The reason in an error."""
    return "; ".join(one.message for one in error.diagnostics) if isinstance(error, EditcError) else str(error)
