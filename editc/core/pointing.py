"""Diagnostics of what stands outside a manifest, placed at the field that named it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.manifest import Manifest
from editc.core.places import ManifestBlock, Span


@contextmanager
def pointing_at(manifest: Manifest, field: str, block: ManifestBlock | None = None) -> Iterator[None]:
    """Diagnostics without a place of their own underline that field of the manifest, or of a block of it."""
    try:
        yield
    except EditcError as error:
        span = (block or manifest).at(field)
        raise EditcError(*(_place(one, manifest, span) for one in error.diagnostics)) from error


def _place(one: Diagnostic, manifest: Manifest, span: Span | None) -> Diagnostic:
    if one.span is not None:
        return one
    notes = (*one.notes, f"in {one.place}") if one.place else one.notes
    return replace(one, span=span, source=manifest.source, notes=notes)
