"""A file that carries entries of the cache to another machine: a tar with an index first and then the entries.

Nothing in such a file is believed: names are made anew from the records, hashes are compared, and all of it is checked
before the first entry is written. Nobody can check that the numbers are those that the encoder gives; whoever imports a
file trusts it as much as a delta.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from editc.cache.disk import DiskCache
from editc.cache.entry import EntryRecord, hash_bytes, imported_name, own_name, read_record
from editc.cache.folder import Entry, list_entries
from editc.cache.sizes import show_size
from editc.core.diagnostics import EditcError, fail
from editc.core.storage.disk import check_file, guard_writes, make_parent, rename, sync_file, temporary_path

FORMAT = "editc-cache 1"
"""The first line of the index."""
SHA256, ENDING = "[0-9a-f]{64}", ".safetensors"
"""A hash as a regular expression, and how the files of entries end."""
INDEX = "index.json"
"""The name of the first file in the tar."""
LARGEST_INDEX = 64 << 20
"""Bytes of an index at most: some 400,000 entries."""
PRIVATE_KINDS = ("files found whole", "hashes of text encoders", "answers to a suite")
"""Kinds of entries that stay on this machine: what is about its files, and texts that a model is to forget."""


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    same: int
    """Entries that were computed in this environment, and are used as if they had been computed here."""
    rounded: int
    """Entries of another environment, which are used where there is no own one."""
    left: int
    """Entries of another environment that were left out, because `--accept-rounding` was not given."""
    size: int
    """Bytes that were written."""


def export_entries(cache: DiskCache, out: Path, model: str = "") -> tuple[Entry, ...]:
    """Write entries to a file, and return them: those of one model, or of all. The same entries give the same bytes.

    Raises E805 where there are none, E697 and E632.
    """
    check_file(out)
    chosen = {one.path.name.split(".")[1]: one for one in list_entries(cache) if _leaves(one, model)}
    whole = {name: chosen[name] for name in sorted(chosen) if hash_bytes(chosen[name].path.read_bytes()) == name}
    if not whole:
        what = f"for the model '{model}'" if model else "that can be exported"
        help_text = "build once, so that there is something to export; `editc cache list` shows what is there"
        raise fail("E805", f"the cache has no entries {what}", place=str(cache.folder), help=help_text)
    make_parent(out)
    with guard_writes(out):
        _write(out, whole)
    return tuple(whole.values())


def _leaves(entry: Entry, model: str) -> bool:
    """Whether an entry may be exported, and belongs to the model."""
    own = entry.record.key and entry.record.kind not in PRIVATE_KINDS
    return bool(own) and (not model or entry.belongs_to(model))


def _write(out: Path, entries: Mapping[str, Entry]) -> None:
    """Write a tar of the entries, by hash, without times and owners: the whole file or nothing."""
    listed = [{"sha256": name, "size": one.size} for name, one in entries.items()]
    temporary = temporary_path(out)
    try:
        with tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
            _add(tar, INDEX, json.dumps({"format": FORMAT, "entries": listed}).encode())
            for name, one in entries.items():
                _add(tar, f"{name}{ENDING}", one.path.read_bytes())
        sync_file(temporary)
        rename(temporary, out)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add one file to a tar."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, BytesIO(data))


def import_entries(cache: DiskCache, file: Path, accept_rounding: bool = False) -> Imported:
    """Put the entries of a file into the cache; the whole file is checked first.

    Entries that were computed in another environment are put where a build finds them only with `accept_rounding`.
    Raises E802 (damaged or no such file), E803 (all are of another environment) and E806 (more than the cache holds).
    """
    records = [(hashed, record) for hashed, record, _ in read_archive(file)]
    size = file.stat().st_size
    if size > cache.limit:
        message = f"the file has {show_size(size)} of entries, and the cache may hold {show_size(cache.limit)}"
        raise fail(
            "E806", message, place=str(file), help="set `EDITC_CACHE_SIZE`, for example to 10GB, and import again"
        )
    same = {hashed for hashed, record in records if not record.sources(cache.environment)}
    usable = {
        hashed for hashed, record in records if accept_rounding and record.environment[:1] == cache.environment[:1]
    }
    if records and not same | usable:
        raise _other_environment(cache, file, [record for _, record in records], accept_rounding)
    written = 0
    for hashed, record, data in read_archive(file):
        if hashed in same | usable:
            editc = cache.environment[0] if cache.environment else ""
            own = own_name(record.key, cache.environment, private=False)
            with guard_writes(cache.folder):
                cache.store(own if hashed in same else imported_name(record.key, editc), data)
            written += len(data)
    return Imported(len(same), len(usable - same), len(records) - len(same | usable), written)


def read_archive(file: Path) -> Iterator[tuple[str, EntryRecord, bytes]]:
    """Yield hash, record and bytes of each entry, in the order of the index. Raises E802 at the first that is wrong."""
    with _refusing(file), tarfile.open(file, "r:") as tar:
        members = iter(tar)
        for hashed, size in _read_index(tar, next(members)):
            member = next(members)
            if (member.name, member.size) != (f"{hashed}{ENDING}", size):
                raise ValueError(f"after the index comes '{member.name[:80]}', not the entry that it lists")
            data = _read(tar, member, file.stat().st_size)
            yield hashed, _check_entry(hashed, data), data
        if next(members, None) is not None:
            raise ValueError("it has more files than its index lists")


def _read_index(tar: tarfile.TarFile, member: tarfile.TarInfo) -> list[tuple[str, int]]:
    """Hash and size of each entry that the index lists. Raises ValueError."""
    if member.name != INDEX:
        raise ValueError("it does not begin with an index")
    index: Any = json.loads(_read(tar, member, LARGEST_INDEX))
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise ValueError("it was made by another version of editc, or by another program")
    found = [(one["sha256"], one["size"]) for one in index["entries"]]
    if not all(isinstance(hashed, str) and re.fullmatch(SHA256, hashed) for hashed, _ in found):
        raise ValueError("its index lists something that is no entry")
    if len(dict(found)) != len(found):
        raise ValueError("its index lists an entry twice")
    return found


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    """The bytes of a file in the tar, `most` at most. Raises ValueError where some are missing, and for a link or a
    sparse file, whose bytes are not in the tar."""
    if member.type != tarfile.REGTYPE or member.sparse is not None or member.size > most:
        raise ValueError(f"'{member.name[:80]}' is no plain file, or too large")
    opened = tar.extractfile(member)
    data = b"" if opened is None else opened.read()
    if len(data) != member.size:
        raise ValueError("it is cut short")
    return data


def _check_entry(hashed: str, data: bytes) -> EntryRecord:
    """The record of an entry. Raises ValueError where its bytes are not those of its name, or are no arrays."""
    from safetensors.numpy import load

    if hash_bytes(data) != hashed:
        raise ValueError(f"the entry {hashed[:12]} does not have the hash in its name")
    record = read_record(data)
    if not re.fullmatch(SHA256, record.key) or record.kind in PRIVATE_KINDS or not record.environment:
        raise ValueError(f"the entry {hashed[:12]} does not say what it is")
    load(data)
    return record


@contextmanager
def _refusing(file: Path) -> Iterator[None]:
    """Turn whatever is wrong with the file into E802."""
    from safetensors import SafetensorError

    try:
        yield
    except EditcError:
        raise
    except StopIteration:
        raise _refusal(file, "it is cut short") from None
    except tarfile.TarError as error:
        raise _refusal(file, f"it is no tar, or is cut short ({error})") from error
    except OSError as error:
        raise _refusal(file, error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, SafetensorError) as error:
        raise _refusal(file, str(error)[:200] or "it is damaged") from error


def _refusal(file: Path, reason: str) -> EditcError:
    """E802 with its reason."""
    help_text = "make the file again with `editc cache export`, and compare its size after it was copied"
    return fail("E802", f"this is no file of cache entries: {reason}", place=str(file), help=help_text)


def _other_environment(cache: DiskCache, file: Path, records: Sequence[EntryRecord], accepted: bool) -> EditcError:
    """E803, with what differs."""
    there = {part for record in records for part in record.environment}
    notes = (
        f"there: {', '.join(sorted(there - {*cache.environment}))}",
        f"here: {', '.join(sorted({*cache.environment} - there))}",
    )
    if accepted:
        message, help_text = "the entries are of another version of editc", "import them with the editc that made them"
    else:
        message = "the entries were computed in another environment, where the last bits may differ"
        help_text = "`--accept-rounding` uses them all the same; deltas built with them record it"
    return fail("E803", message, place=str(file), help=help_text, notes=notes)
