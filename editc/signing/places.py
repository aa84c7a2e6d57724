"""Where signatures and what belongs to them lie: beside a file, or in a folder."""

from __future__ import annotations

from pathlib import Path

ENDING = ".sig"
"""What a signature's file has after the name of the file that it signs."""
OF_FOLDER = "model.sig"
"""The signature's file in a folder that is signed: the name that Model Signing takes."""
STATED = ".intoto.jsonl"
"""What the file of further statements has after the name of the delta's file: in-toto's ending for envelopes."""
BOM_ENDING = ".cdx.json"
"""What a bill of materials has after the name of the delta's file: CycloneDX's own ending."""


def signature_place(path: Path) -> Path:
    """Where the signature of a file or a folder lies: beside the file, in the folder."""
    return path / OF_FOLDER if path.is_dir() else path.with_name(path.name + ENDING)


def find_signature(path: Path) -> Path:
    """The signature of a file or folder; for a file without one, that of its folder if there is one."""
    own, whole = signature_place(path), path.parent / OF_FOLDER
    return whole if not own.exists() and whole.exists() and not path.is_dir() else own


def statements_place(delta: Path, signature: Path | None = None) -> Path:
    """Where further statements about a delta's file lie: beside it, or beside a signature that lies elsewhere."""
    if signature is None:
        return delta.with_name(delta.name + STATED)
    return signature.with_name(signature.name.removesuffix(ENDING) + STATED)


def bom_place(delta: Path) -> Path:
    """Where the bill of materials of a delta's file lies by default."""
    return delta.with_name(delta.name + BOM_ENDING)


def belongs_to_a_delta(name: str) -> bool:
    """True for the names of files that lie beside deltas and are none."""
    return name.endswith((ENDING, STATED, BOM_ENDING))
