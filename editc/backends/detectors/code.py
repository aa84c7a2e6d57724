"""`detector: python:FILE:NAME`: a detector of your own, in Python.

NAME in FILE is a class that takes nothing, a function that takes nothing and gives a detector, or the detector itself:

    knows(concept: str) -> bool                       can it judge this concept?
    shows(concept: str, pictures) -> n bools          pictures (n, h, w, 3), uint8
    concepts() -> list of str                         optional: what it can judge; left out, any text

The code runs with your rights. It runs because whoever builds the manifest wrote its name there; what a delta names
does not run unless `--detector` names it again.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.detectors.kind import DetectorFault, DetectorKind, DetectorRequest
from editc.core.diagnostics import EditcError, fail
from editc.registry.table import nearest

PROTOCOL = "docs/reference/detectors.md says which methods a detector needs"
"""Help for a detector that lacks something."""


@dataclass(frozen=True)
class CodeDetector:
    """A detector written by the user. Its answers are checked before they are used; E138 where they are wrong or it
    raises."""

    detector: Any
    """The user's detector."""
    file: str
    """Its file, for messages."""

    def knows(self, concept: str) -> bool:
        """Ask the user's detector."""
        return bool(self._call("knows", concept))

    def concepts(self) -> tuple[str, ...]:
        """Ask the user's detector; empty where it has no `concepts`."""
        return tuple(str(one) for one in self._call("concepts")) if hasattr(self.detector, "concepts") else ()

    def shows(self, concept: str, pictures: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return (n,) bools for pictures (n, h, w, 3). The detector gets a copy of the pictures."""
        given = pictures.copy()
        answer = self._call("shows", concept, given)
        try:
            found = np.asarray(answer)
        except Exception as error:
            raise self._error(f"`shows` must return an array: {error}") from error
        if found.shape != (len(pictures),) or found.dtype != np.bool_:
            what = f"an array {found.shape} of {found.dtype}"
            raise self._error(f"`shows` returned {what} for {len(pictures)} pictures; it must return one bool for each")
        return found

    def _call(self, method: str, *given: Any) -> Any:
        """Call a method of the detector. What it prints goes to stderr, and what it raises becomes E138."""
        with redirect_stdout(sys.stderr):
            try:
                return getattr(self.detector, method)(*given)
            except Exception as error:
                raise self._error(f"`{method}` raises {_describe_error(error, self.file)}") from error

    def _error(self, message: str) -> EditcError:
        """Make E138 at the detector's file."""
        return fail("E138", message, place=self.file, help=PROTOCOL)


def _describe_error(error: Exception, where: str) -> str:
    """Describe an exception in one line, with the line of the file that raised it."""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == where]
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return said + (f" (line {lines[-1]})" if lines else "")


def _open(request: DetectorRequest) -> CodeDetector:
    """Run the file and make its detector. Raises E138 where that fails or the result lacks a method."""
    path = request.path
    assert path is not None
    where = str(path)
    with redirect_stdout(sys.stderr):
        try:
            found = getattr(_run_file(path), request.options.member)
            own = found() if isinstance(found, type) or not hasattr(found, "shows") else found
        except Exception as error:
            message = f"`{request.options.member}` cannot be created: {_describe_error(error, where)}"
            raise fail("E138", message, place=where, help=PROTOCOL) from error
    lacking = [name for name in ("knows", "shows") if not callable(getattr(own, name, None))]
    if lacking:
        named = " and ".join(f"`{name}`" for name in lacking)
        message = f"`{request.options.member}` is not a detector: it has no {named}"
        raise fail("E138", message, place=where, help=PROTOCOL)
    return CodeDetector(own, where)


def _run_file(path: Path) -> ModuleType:
    """Run the file as a module of its own, without writing bytecode beside it."""
    text = path.read_bytes()
    module = ModuleType(f"editc_detector_{sha256(text).hexdigest()[:12]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def _find_faults(request: DetectorRequest) -> Iterator[DetectorFault]:
    """Look for faults without running the file: it must exist, be Python, and bind the name."""
    path, member = request.path, request.options.member
    assert path is not None
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        help_text = f"looked for {path}: paths are relative to the manifest"
        yield DetectorFault("E134", "place", f"the detector's file `{request.options.place}` {problem}", help_text)
        return
    try:
        names = tuple(_bound_names(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError) as error:
        yield DetectorFault(
            "E134", "place", f"`{request.options.place}` is not Python: {error}", "correct it, or name another file"
        )
        return
    if "*" not in names and member not in names:
        near = nearest(member, names)
        message = f"`{request.options.place}` defines no `{member}`"
        yield DetectorFault("E134", "place", message, f"did you mean `{near}`?" if near else PROTOCOL)


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a module may bind, found by parsing alone; `*` for a star import."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (one.asname or one.name for one in node.names)
            case ast.Name(ctx=ast.Store()):
                yield node.id


def _files(request: DetectorRequest) -> Sequence[Path]:
    return (request.path,) if request.path else ()


def _settings(request: DetectorRequest) -> dict[str, Any]:
    return {"member": request.options.member}


def _accept_any(request: DetectorRequest) -> Callable[[str], bool]:
    """Accept any concept: only the file knows, and it is not run before the build."""
    return lambda concept: True


PYTHON = DetectorKind(
    "a class or function of a Python file of yours",
    _open,
    place="FILE:NAME",
    faults=_find_faults,
    knows=_accept_any,
    files=_files,
    settings=_settings,
    runs_code=True,
)
