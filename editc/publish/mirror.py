"""Look into a model that lies elsewhere (`hf://`, `https://`, `s3://`) by its headers and single tensors. A folder on
this disk stands for it: small files whole, weights as sparse copies that are filled where they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.formats.containers.placeholders import FILES, RemoteFile, kind_error
from editc.formats.containers.safetensors import MAX_HEADER
from editc.formats.containers.table import MODEL_FILES, SAFETENSORS
from editc.libraries.extras import install_command, missing_packages
from editc.publish.names import check_name

T = TypeVar("T")
PACKAGES: Mapping[str, str] = {"hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp", "s3": "s3fs"}
"""Scheme -> the package that `fsspec` needs for it."""
REMOTE = re.compile(rf"(?P<scheme>{'|'.join(PACKAGES)})://.+", re.DOTALL)
"""A place that is not on this disk."""
SMALL = (".json", ".txt", ".model")
"""Endings of files that are fetched whole: settings, indices, vocabularies."""
MOST_FILES = 2000
"""How many files a remote model has at most."""


@dataclass(frozen=True)
class Mirror:
    """A model that lies elsewhere, as a folder or file on this disk."""

    path: Path
    """The folder or file to open."""
    files: Mapping[Path, RemoteFile]
    """Its sparse copies."""
    whole: int
    """Bytes of the files that were fetched whole."""

    @property
    def bytes_read(self) -> int:
        """All bytes that were fetched so far."""
        return self.whole + sum(file.bytes_read for file in self.files.values())


def is_remote(place: str) -> bool:
    """True for a place that is not on this disk."""
    return REMOTE.fullmatch(place) is not None


@contextmanager
def mirrored(place: str) -> Iterator[Mirror]:
    """The mirror of a model, until the `with` block ends. Raises E950, E956, E957, E959 and E960."""
    fs, root = _file_system(place)
    with TemporaryDirectory(prefix="editc-") as folder, _told(place):
        found = _list(fs, root, place)
        base = Path(folder).resolve()
        copies = {base / name: (address, size) for name, (address, size) in found.items()}
        whole = 0
        files: dict[Path, RemoteFile] = {}
        for path, (address, size) in copies.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in SMALL and size <= MAX_HEADER:
                whole += path.write_bytes(_read(fs, address, place, 0, size))
            else:
                with path.open("xb") as file:
                    file.truncate(size)
                files[path] = RemoteFile(address, size, partial(_read, fs, address, place))
        FILES.update(files)
        try:
            yield Mirror(next(iter(copies)) if _is_file(place) else base, files, whole)
        finally:
            for path in files:
                FILES.pop(path, None)


def look(place: str, verb: Callable[[Path], T]) -> tuple[T, str]:
    """What `verb` says about the model at a place that is not on this disk, and a sentence on how much of it was read.
    Errors name the place, not the mirror."""
    with mirrored(place) as mirror:
        try:
            found = verb(mirror.path)
        except EditcError as error:
            raise EditcError(*(_at_place(one, mirror.path, place) for one in error.diagnostics)) from error
        size = mirror.whole + sum(file.size for file in mirror.files.values())
        return found, f"read {mirror.bytes_read:,} of {size:,} bytes from {place}"


def refuse_remote(place: str) -> None:
    """Raises E964 for a place that is not on this disk, where it is about to be written or run."""
    if is_remote(place):
        message = "a model that lies elsewhere is looked into, and not edited or run"
        help_text = "fetch it first; `inspect`, `status` and `apply --dry-run` read it where it is"
        raise fail("E964", message, place=place, help=help_text)


def _at_place(one: Diagnostic, path: Path, place: str) -> Diagnostic:
    """The diagnostic with the place in place of the mirror."""
    texts = {name: getattr(one, name).replace(str(path), place) for name in ("message", "place", "help")}
    return replace(one, **texts, notes=tuple(note.replace(str(path), place) for note in one.notes))


def _file_system(place: str) -> tuple[Any, str]:
    """What `fsspec` reads the place by, and the place as it names it. Raises E950 and E963."""
    scheme = place.partition("://")[0]
    if place.endswith(MODEL_FILES) and not place.endswith(SAFETENSORS):
        raise kind_error(place)
    absent = missing_packages("fsspec", PACKAGES[scheme])
    if absent:
        message = f"{scheme}:// needs {' and '.join(absent)}, which is not installed"
        raise fail("E950", message, place=place, help=install_command("s3" if scheme == "s3" else "remote"))
    from fsspec.core import url_to_fs

    with _told(place):
        fs, root = url_to_fs(place.rstrip("/"), **(_bucket_options() if scheme == "s3" else {}))
    return fs, str(root)


def _bucket_options() -> Mapping[str, Any]:
    """How a bucket of S3 is asked: unsigned where nobody knows a key, as public buckets are read; otherwise signed."""
    from botocore.session import Session

    return {} if Session().get_credentials() else {"anon": True}


def _is_file(place: str) -> bool:
    """True for a place that is one file."""
    return place.endswith(MODEL_FILES)


def _list(fs: Any, root: str, place: str) -> Mapping[str, tuple[str, int]]:
    """Name within the folder -> address and size of each file that a model may consist of. Raises E956, E957, E960."""
    if _is_file(place):
        return {check_name(root.rpartition("/")[2], place): (root, int(fs.info(root)["size"]))}
    found = {}
    for address in sorted(fs.find(root, maxdepth=3)):
        name = str(address).removeprefix(root).lstrip("/")
        if not name.startswith(".") and "/." not in name and name.endswith((SAFETENSORS, *SMALL)):
            found[check_name(name, place)] = (str(address), int(fs.info(address)["size"]))
    if not found or len(found) > MOST_FILES:
        message = f"there are {len(found)} files of a model"
        raise fail("E960", message, place=place, help="name the folder of the model, or one .safetensors file")
    return found


def _read(fs: Any, address: str, place: str, start: int, size: int) -> bytes:
    """Exactly these bytes of a file. Raises E959 and E960, and E962 where a server sends something else."""
    if not size:
        return b""
    with _told(place):
        data = fs.cat_file(address, start=start, end=start + size)
    if len(data) != size:
        message = f"the server sent {len(data):,} bytes where {size:,} were asked for"
        help_text = "it serves no ranges, or the file is changing; fetch the model first"
        raise fail("E962", message, place=address, help=help_text)
    return bytes(data)


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn the errors of `fsspec` and of its clients into E959 and E960."""
    try:
        yield
    except EditcError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
            raise _broken(error.__cause__, place) from error
        message = f"it cannot be read: {type(error).__name__}"
        raise fail("E960", message, place=place, help="check the address, and that you may read it") from error
    except Exception as error:  # each file system raises those of its own client
        if isinstance(error, OSError | ValueError) or type(error).__module__.split(".")[0] in CLIENTS:
            raise _broken(error, place) from error
        raise


def _broken(error: BaseException, place: str) -> EditcError:
    """E959."""
    message = f"the transfer broke off: {type(error).__name__}: {str(error)[:120]}"
    return fail("E959", message, place=place, help="check the address and your network")


CLIENTS = ("aiohttp", "httpx", "httpx2", "huggingface_hub", "botocore", "aiobotocore", "fsspec")
"""Packages whose errors are about the network."""
