"""Debian's Chromium for tests of pages: it sees what a reader sees, and notes what a page asks for and complains of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@dataclass
class Visit:
    """A page in the browser."""

    page: Any
    asked: list[str] = field(default_factory=list)
    """The addresses that it asked for."""
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings in its console."""

    def hear(self, told: Any) -> None:
        """A line of the console."""
        if told.type in ("error", "warning"):
            self.complaints.append(told.text)

    def violations(self) -> list[str]:
        """What axe-core finds wrong for readers with a keyboard, a screen reader or weak eyes."""
        from axe_playwright_python.sync_playwright import Axe

        self.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]

    def focused(self) -> str:
        """What has the focus: `tag type`."""
        found: list[str] = self.page.evaluate("[document.activeElement.tagName, document.activeElement.type]")
        return " ".join(filter(None, found))


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser, without a window."""
    from playwright.sync_api import sync_playwright

    given = [
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-sandbox",
    ]  # containers have no sandbox
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=given)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Any, address: str | Path, width: int = 1200, height: int = 900, **given: Any) -> Iterator[Visit]:
    """The page at an address, or in a file, in a window of this size. `given`: as `Browser.new_context` takes it."""
    context = browser.new_context(viewport={"width": width, "height": height}, **given)
    visit = Visit(context.new_page())
    visit.page.on("request", lambda request: visit.asked.append(request.url))
    visit.page.on("console", visit.hear)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.goto(address.as_uri() if isinstance(address, Path) else address)
    try:
        yield visit
    finally:
        context.close()
