"""`editc view`: pages of a delta, a build or a fleet, served on this machine or written as files."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing import resource_tracker
from pathlib import Path

from editc.core.diagnostics import fail
from editc.core.storage.disk import check_file, check_folder, guard_writes, make_parent, replace_file
from editc.fleet.results.store import ALL
from editc.libraries.extras import install_command, missing_packages
from editc.signing.trust import load_policies
from editc.viewing.server import Server
from editc.viewing.site import HOME, Site, open_site

FILE_ENDING = ".html"
"""How a path ends at which one page is written; any other is a folder."""


def open_pages(path: Path, model: str = "", keys: Sequence[Path] = (), policy: Path | None = None) -> Site:
    """Find what lies at a path, and the keys by which its signature is checked.

    Raises E973 where packages are missing, E970 and E971 where there is nothing to look at, and what reading raises.
    """
    missing = missing_packages("jinja2", "PIL")
    if missing:
        names = ", ".join({"PIL": "pillow"}.get(name, name) for name in missing)
        raise fail("E973", f"pages need {names}, which is not installed", help=install_command("view"))
    return open_site(path, model, load_policies(policy, keys) if policy or keys else ())


def serve(path: Path, model: str = "", keys: Sequence[Path] = (), policy: Path | None = None, port: int = 0) -> Server:
    """A server of the pages, which has not started: use it in a `with`."""
    resource_tracker.ensure_running()  # here its output is held back: it tells of semaphores that a killed process left
    return Server(open_pages(path, model, keys, policy), port)


def export(path: Path, out: Path, keys: Sequence[Path] = (), policy: Path | None = None) -> tuple[Path, ...]:
    """Write the pages as files that need no server: one file where `out` ends in `.html`, else a folder.

    Raises E697 where they cannot be written, and E974 for one file of a fleet, which has many pages.
    """
    single = out.suffix.lower() == FILE_ENDING
    if single and (path / ALL).is_file():
        help_text = f"give a folder, such as {out.with_suffix('')}"
        raise fail(
            "E974", "a fleet has a page for each cell, which one file cannot hold", place=str(out), help=help_text
        )
    (check_file if single else check_folder)(out)
    written = []
    for place, page in open_pages(path, "", keys, policy).pages():
        file = out if single else out / place
        make_parent(file)
        with guard_writes(file):
            replace_file(file, page.encode("utf-8", "replace"), synced=False)
        written.append(file)
    return tuple(written)


def first_page(written: Sequence[Path]) -> Path:
    """The file to open of those that were written."""
    return next((file for file in written if file.name == HOME), written[0])
