"""What is in a delta or a model, and what an apply or a status found, as plain JSON values for people and machines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from editc.core.delta import Delta, Factors
from editc.core.text import count
from editc.formats.apply.apply import ApplyResult, RevertResult
from editc.formats.apply.carried import name_edits
from editc.formats.apply.quantised import RequantisationLoss
from editc.formats.apply.status import Status
from editc.formats.apply.target import ApplyPlan
from editc.formats.containers.table import CONTAINERS, container_of
from editc.formats.delta.description import COMPATIBILITY
from editc.formats.delta.parts import is_linked, parts
from editc.formats.exports.read import format_of, is_delta, read_delta, tensor_file
from editc.formats.models import layout
from editc.formats.models.model import Checkpoint, Model, open_model


class Description(dict[str, Any]):
    """What is in a delta or a model: a dict of plain JSON values, which shows itself in a few words."""

    def __repr__(self) -> str:
        """A short text: a delta has hashes of every site."""
        if self["kind"] == "delta":
            sites = count(len(self["sites"]), "site")
            return f"<delta {self['delta_id'][:12]} for {self['family']}: {sites}, in {self['path']}>"
        return f"<{self['layout']} {self['model']}: {', '.join(self['components'])}>"

    def _repr_html_(self) -> str:
        """What one asks first, for notebooks."""
        from editc.notebook.table import size, table

        if self["kind"] == "model":
            parts = self["components"].items()
            rows = [(n, f"{p['tensors']} tensors", size(p["bytes"]), ", ".join(p["bytes_by_dtype"])) for n, p in parts]
            return table(f"{self['layout']}: {self['model']}", rows)
        sites = f"{len(self['sites'])} in {', '.join(sorted({one['component'] for one in self['sites']}))}"
        about = [("edits", name_edits(self["edits"])), ("family", self["family"]), ("sites", sites)]
        claims = [(f"{one.get('name')} {one.get('subject', '')}", one.get("value")) for one in self["claims"]]
        return table(f"Delta {self['delta_id'][:12]}", [*about, ("size", size(self["bytes"])), *claims])


def inspect(place: str) -> Description:
    """What the delta or model at `place` is; `kind` is `delta` or `model`. Raises what reading it raises."""
    path = Path(place)
    file = tensor_file(path)
    container = CONTAINERS.get(file.suffix)
    if file.is_file() and container and not container.converter:  # a converted file is a model, refused by its own path
        container.header(file)  # a damaged file is refused here, once, and not read again as a model
    if is_delta(path):
        spelling = format_of(path)
        said = {"kind": "delta", "format": spelling, "path": place, "bytes": _size(path)}
        return Description(**said, **describe_delta(read_delta(path)))
    return Description(kind="model", **describe_model(open_model(place)))


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.iterdir() if one.is_file()]
    return sum(one.stat().st_size for one in files)


def describe_delta(delta: Delta) -> dict[str, Any]:
    """Who the delta is, what it edits and claims, and which bases it accepts."""
    return {
        "delta_id": delta.delta_id,
        "version": delta.version,
        "compatibility": COMPATIBILITY,
        "family": delta.family,
        "tool": delta.tool,
        "encoder": delta.encoder,
        "manifest": delta.manifest,
        "manifest_digest": delta.manifest_digest,
        **({"linked": [part.delta_id for part in parts(delta)]} if is_linked(delta) else {}),
        "edits": [dict(edit) for edit in delta.edits],
        "claims": [dict(claim) for claim in delta.claims],
        "groups": {name: _describe_factors(factors) for name, factors in delta.factors.items()},
        "sites": [
            {
                "component": r.site.component,
                "name": r.site.name,
                "shape": list(r.site.shape),
                "dtype": r.site.dtype,
                "role": r.site.role,
                **_why(delta, r.site.name),
                "base": dict(r.base),
                "result": dict(r.result),
            }
            for r in delta.sites
        ],
    }


def _why(delta: Delta, name: str) -> dict[str, str]:
    """What the evidence said of a site, where sites were chosen by it."""
    evidence = delta.extra.get("evidence")
    found = evidence.get(name) if isinstance(evidence, dict) else None
    return {"why": found} if isinstance(found, str) else {}


def _describe_factors(factors: Factors) -> dict[str, Any]:
    parts = (*factors.left, *factors.right)
    rank = max((part.shape[0] for part in factors.right), default=None)
    bits = {"bits": sum(part.nbytes for part in factors.bits)} if factors.bits else {}
    return {
        "form": factors.form,
        "rank": rank,
        "sites": len(factors.sites),
        "bytes": sum(part.nbytes for part in parts) + sum(bits.values()),
        **bits,
    }


def describe_model(model: Model) -> dict[str, Any]:
    """The parts of a model: tensors, parameters, bytes, dtypes, files. Only headers are read."""
    readable = [n for n, p in model.components.items() if model.layout != "pipeline" or layout.has_readable_weights(p)]
    ldm = model.ldm_components()
    parts = {name: _describe_part(model.component(name)) for name in ldm or readable}
    if ldm:
        taken = {piece.name for part in ldm.values() for piece in part.values()}
        whole = model.component()
        rest = {name: tensor for name, tensor in whole.tensors.items() if name not in taken}
        parts["others"] = _describe_part(replace(whole, tensors=rest))
    return {
        "model": model.place,
        "path": str(model.path),
        "layout": f"LDM {model.layout}" if ldm else _layout(model),
        "components": parts,
        "unreadable": [] if ldm else sorted(model.components.keys() - parts.keys()),
    }


def _layout(model: Model) -> str:
    """The kind of model; of one file its container: `GGUF model` or `GGUF adapter`, as the file says of itself."""
    if model.layout != "file":
        return model.layout
    container = container_of(model.path)
    if not container.type_key:
        return container.title
    return f"{container.title} {model.component().metadata.get(container.type_key, 'model')[:40]}"


def _describe_part(checkpoint: Checkpoint) -> dict[str, Any]:
    tensors = checkpoint.tensors.values()
    sizes = Counter({dtype: 0 for dtype in sorted({tensor.dtype for tensor in tensors})})
    for tensor in tensors:
        sizes[tensor.dtype] += tensor.nbytes
    return {
        "tensors": len(checkpoint.tensors),
        "bytes": sum(sizes.values()),
        "bytes_by_dtype": dict(sizes),
        "files": sorted({tensor.file.name for tensor in tensors}),
        "notes": list(checkpoint.notes),
    }


def describe_plan(plan: ApplyPlan) -> dict[str, Any]:
    """What an apply would do, tensor by tensor; `status` is `ready` or `already`."""
    return {
        "status": plan.status,
        "tier": plan.tier,
        "model": plan.model.place,
        "deltas": [delta.delta_id for delta in plan.deltas],
        "distance": _figure(plan.distance),
        "bytes_to_write": plan.bytes_to_write,
        "interrupted": plan.interrupted,
        "notes": list(plan.notes),
        "tensors": [
            {
                "component": target.record.site.component,
                "name": target.record.site.name,
                "state": target.state,
                "distance": _figure(target.distance),
                "bytes": target.tensor.nbytes,
                "base": target.base,
                "result": target.result,
                **_describe_loss(target.loss),
            }
            for target in plan.targets
        ],
    }


def _figure(distance: float) -> float:
    """A sketch knows no more digits than these."""
    return float(f"{distance:.3g}")


def _describe_loss(loss: RequantisationLoss | None) -> dict[str, float]:
    """What requantising did to the edit of a tensor."""
    return {} if loss is None else {"survived": loss.survival, "error": loss.error, "cut": loss.clipped}


def describe_applied(plan: ApplyPlan, applied: ApplyResult) -> dict[str, Any]:
    """What an apply did: the plan, with the hashes of what was written."""
    described = describe_plan(plan)
    for row in described["tensors"]:
        row["result"] = applied.results.get((row["component"], row["name"]), row["result"])
    del described["bytes_to_write"]
    linked = [str(path) for path in applied.linked]
    done = {"status": applied.status, "path": str(applied.path), "bytes_written": applied.bytes_written}
    return described | done | {"linked": linked}


def describe_reverted(reverted: RevertResult) -> dict[str, Any]:
    """What a revert undid."""
    return {
        "status": "done",
        "path": str(reverted.path),
        "deltas": [dict(delta) for delta in reverted.deltas],
        "tensors": reverted.tensors,
    }


def describe_status(status: Status) -> dict[str, Any]:
    """Which deltas are in a model; `status` is `interrupted` after a killed run, else `done`."""
    return {
        "status": "interrupted" if status.interrupted else "done",
        "model": status.model.place,
        **({"notes": list(status.notes)} if status.notes else {}),
        "applied": list(status.applied),
        "deltas": [
            {
                "delta_id": delta.delta_id,
                "state": delta.presence,
                "recorded": delta.recorded,
                "edits": [dict(edit) for edit in delta.edits],
                "tensors": dict(delta.tensors),
            }
            for delta in status.deltas
        ],
    }
