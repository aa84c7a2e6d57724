"""Where an edited model may be written, and how failed output is removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from editc.core.diagnostics import EditcError, fail
from editc.core.storage import disk
from editc.core.storage.disk import check_parent, make_parent
from editc.formats.apply import journal
from editc.formats.apply.target import ApplyPlan
from editc.formats.models.model import Model
from editc.formats.models.paths import demo_model, in_hub_cache


def check_free(plan: ApplyPlan, out: Path) -> None:
    """Raise E630 if a copy of the model cannot appear at `out`, and E633 if the model itself is half edited."""
    if plan.interrupted:
        help_text = "run `editc revert` on it, or finish the edit with --in-place"
        message = "an in-place apply of this model was interrupted; a copy would hold half of it"
        raise fail("E633", message, place=plan.model.place, help=help_text)
    if out.is_symlink() or (out.exists() and (out.is_file() or any(out.iterdir()))):
        raise _not_free_error(out, "the path exists already", "remove it, or choose another path")
    if plan.model.layout == "file" and (out.is_dir() or journal_folder(out).exists()):
        raise _not_free_error(out, "a folder is in its way", "give the path of a new file, ending as the model does")
    ending = plan.model.path.suffix
    if plan.model.layout == "file" and out.suffix != ending:
        raise _not_free_error(out, f"the model is one file, and its copy must end in {ending}", "add the ending")
    if in_hub_cache(out.resolve()):
        raise _not_free_error(
            out, "it lies in a hub cache, which only its own tools may write", "choose a path outside"
        )
    if plan.model.layout != "file" and out.resolve().is_relative_to(plan.model.path):
        raise _not_free_error(out, "it lies inside the model itself", "choose a path beside the model")


def make_place(plan: ApplyPlan, out: Path) -> None:
    """Make the folder in which a copy of the model will appear. Raises what `check_free` raises, and E697."""
    check_free(plan, out)
    check_parent(out)
    make_parent(out)


@dataclass(frozen=True)
class ExternalFile:
    """A file beside a single-file model that holds part of it, under a name that the model fixes."""

    source: Path
    """Where it is now."""
    name: str
    """The name by which the model refers to it."""
    temporary: Path
    """Where its copy is written first."""
    final: Path
    """Where its copy belongs."""


def external_files(model: Model, out: Path) -> tuple[ExternalFile, ...]:
    """List the external data files of an ONNX model that is a single file; () for all other models.

    Raises E666 if their names are taken where the copy goes. They cannot be renamed, because the model refers to them.
    """
    graph = model.component().graph if model.layout == "file" else None
    if graph is None:
        return ()
    from editc.formats.containers.onnx_external import external_files

    found = external_files(graph)
    parts = [ExternalFile(source, name, disk.temporary_path(out), out.parent / name) for name, source in found.items()]
    for part in parts:
        if part.final.exists() or part.final.is_symlink() or not part.final.parent.is_dir():
            message = f"the copy needs the name '{part.name}' beside it, for the model's external data"
            raise fail("E666", message, place=str(out), help="choose a path in an empty folder")
    return tuple(parts)


def check_private(plan: ApplyPlan) -> None:
    """Raise E631 if writing over a file would also change something else, and E632 if the file may not be written."""
    if plan.model.path.is_relative_to(demo_model()):
        raise _shared_error(plan.model.path, "it is part of the installed package")
    for file in sorted({target.tensor.file for target in plan.targets if target.pending}):
        real = file.resolve()
        if in_hub_cache(real) or in_hub_cache(file) or (file.is_symlink() and "blobs" in real.parts):
            raise _shared_error(file, "it belongs to a hub cache, whose files are shared and checked by their names")
        if real != file:
            raise _shared_error(file, f"it is reached through a link, and really is '{real}'")
        if file.stat().st_nlink > 1:
            raise _shared_error(file, f"the same file has {file.stat().st_nlink} names (hard links)")
        if not os.access(file, os.W_OK):
            raise fail(
                "E632", "the file may not be written", place=str(file), help="change its permissions, or use --out"
            )


def journal_folder(file: Path) -> Path:
    """The folder of a single file's journal."""
    return file.with_name(file.name + journal.FOLDER)


@contextmanager
def remove_on_failure(*paths: Path) -> Iterator[None]:
    """Remove `paths` if the `with` block fails."""
    try:
        yield
    except BaseException:
        for path in paths:
            remove(path)
        raise


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as the system allows it."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _not_free_error(out: Path, reason: str, help_text: str) -> EditcError:
    return fail("E630", f"the result cannot be written there: {reason}", place=str(out), help=help_text)


def _shared_error(file: Path, reason: str) -> EditcError:
    help_text = "use --out PATH: it makes an independent copy"
    return fail("E631", f"this is not edited in place: {reason}", place=str(file), help=help_text)
