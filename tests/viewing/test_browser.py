"""In a real browser the pages work by keyboard, in a narrow window, in the dark and for a screen reader; they ask no
other host and run nothing of a stranger's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import chromium, needs_chromium, visiting
from report_cases import EVIL
from view_cases import DELTA, build_folder, fleet_folder, language_folder

from editc.viewing.server import Server
from editc.viewing.site import open_site
from editc.viewing.view import export

pytestmark = needs_chromium
PATIENCE = 20.0
WINDOWS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "narrow": {"width": 320, "height": 700},
}
PUT_IN = '<img src="http://127.0.0.1:1/x" onerror="window.ran = 1">'
CUT = "getComputedStyle(document.querySelector('.look .compare')).getPropertyValue('--cut')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("view")
    build_folder(found / "out")
    fleet_folder(found / "fleet")
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with Server(open_site(folder / "out", "editc:demo"), opener="view_cases:open_fake") as running:
        yield running


@pytest.fixture(scope="module")
def fleet(folder: Path) -> Iterator[Server]:
    with Server(open_site(folder / "fleet")) as running:
        yield running


# ---------------------------------------------------------------- who can read it


@pytest.mark.parametrize("window", WINDOWS)
def test_axe_finds_nothing_wrong_with_a_build(browser: Any, server: Server, window: str) -> None:
    with visiting(browser, server.address, bypass_csp=True, **WINDOWS[window]) as visit:
        assert visit.violations() == []


@pytest.mark.parametrize(("what", "window"), [("fleet", "dark"), ("delta", "narrow"), ("language", "light")])
def test_axe_finds_nothing_wrong_with_other_pages(browser: Any, tmp_path: Path, what: str, window: str) -> None:
    given = {"delta": lambda _: DELTA, "fleet": lambda few: fleet_folder(few, 9), "language": language_folder}[what]
    export(given(tmp_path / "given"), tmp_path / "pages")
    with visiting(browser, tmp_path / "pages" / "index.html", bypass_csp=True, **WINDOWS[window]) as visit:
        assert visit.violations() == []


def test_nothing_is_wider_than_a_phone(browser: Any, server: Server, fleet: Server) -> None:
    for address in (server.address, fleet.address):
        with visiting(browser, address, 320, 700) as visit:
            assert visit.page.evaluate("document.documentElement.scrollWidth") == 320


def test_the_dark_is_dark(browser: Any, server: Server) -> None:
    light = {}
    for scheme in ("light", "dark"):
        with visiting(browser, server.address, color_scheme=scheme) as visit:
            ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
            light[scheme] = sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(","))) / 3
    assert light["dark"] < 40 and light["light"] > 215


# ---------------------------------------------------------------- what it does


def test_the_keyboard_chooses_a_picture_and_moves_the_slider(browser: Any, server: Server) -> None:
    with visiting(browser, server.address) as visit:
        page, large = visit.page, ".look .compare .old >> nth=0"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.locator("input[type=range]").first.focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate(CUT) == "51%"
        page.keyboard.press("Home")
        assert page.evaluate(CUT) == "0%"
        page.keyboard.press("Tab")
        assert visit.focused() == "INPUT radio"
        first = page.get_attribute(large, "src")
        page.keyboard.press("ArrowRight")
        assert page.get_attribute(large, "src") != first
        assert page.get_attribute(large, "alt") == "before: a circle, number 1"
        assert "seed 1: shown before, not shown after" in page.inner_text(".look figcaption >> nth=0")
        page.keyboard.press("Tab")
        assert visit.focused() == "INPUT range", "one stop for all pictures of a concept"


def test_the_mouse_drags_the_slider_over_the_picture(browser: Any, server: Server) -> None:
    with visiting(browser, server.address) as visit:
        box = visit.page.locator(".look .shots").first.bounding_box()
        visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
        visit.page.mouse.down()
        visit.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
        visit.page.mouse.up()
        assert visit.page.evaluate(CUT) == "25%"


def test_no_other_host_is_asked_and_nothing_is_complained_of(browser: Any, server: Server, fleet: Server) -> None:
    for one in (server, fleet):
        with visiting(browser, one.address) as visit:
            assert visit.complaints == []
            assert [url for url in visit.asked if not url.startswith("data:")] == [one.address]


def test_a_prompt_is_painted_before_and_after(browser: Any, server: Server) -> None:
    with visiting(browser, server.address) as visit:
        page = visit.page
        page.fill("[name=prompt]", "a red circle")
        page.keyboard.press("Enter")
        page.wait_for_selector(".try .compare:visible", timeout=1000 * PATIENCE)
        assert page.inner_text(".try [role=status]") == "Done."
        assert page.get_attribute(".try .new", "alt") == "after: a red circle"
        assert page.get_attribute(".try .old", "src") != page.get_attribute(".try .new", "src")
        page.fill("[name=prompt]", "wrong")
        page.get_by_role("button", name="Paint").click()
        page.wait_for_selector(".try .bad", timeout=1000 * PATIENCE)
        assert page.inner_text(".try [role=status]") == "a bug in editc: ValueError: no such thing"
        assert visit.complaints == []


@pytest.mark.parametrize("how", ["stop", "leave"])
def test_the_work_stops_by_the_button_and_when_the_page_goes(browser: Any, server: Server, how: str) -> None:
    with visiting(browser, server.address) as visit:
        page = visit.page
        page.fill("[name=prompt]", "slow")
        page.get_by_role("button", name="Paint").click()
        page.wait_for_selector("text=painting before the edit", timeout=1000 * PATIENCE)
        assert server._studio is not None and server._studio._lock.locked()
        if how == "stop":
            page.get_by_role("button", name="Stop").click()
            page.wait_for_selector("text=Stopped.")
        else:
            page.goto("about:blank")
        started = time.monotonic()
        while server._studio._lock.locked():
            assert time.monotonic() < started + PATIENCE
            time.sleep(0.02)


def test_a_page_says_that_its_server_has_ended(browser: Any, folder: Path) -> None:
    with Server(open_site(folder / "out", "editc:demo")) as server, visiting(browser, server.address) as visit:
        server._http.shutdown()
        server._http.server_close()
        visit.page.fill("[name=prompt]", "a circle")
        visit.page.get_by_role("button", name="Paint").click()
        visit.page.wait_for_selector("text=is `editc view` still running?")


def test_a_fleet_of_200_cells_opens_in_two_seconds(browser: Any, fleet: Server) -> None:
    seconds = []
    for _ in range(3):  # other tests run beside this one
        with visiting(browser, fleet.address) as visit:
            assert visit.page.locator(".cells tbody tr").count() == 200
            seconds.append(visit.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
    assert 0 < min(seconds) < 2


def test_the_cells_of_a_fleet_are_sifted(browser: Any, fleet: Server) -> None:
    with visiting(browser, fleet.address) as visit:
        page = visit.page
        page.check("input[value=failed]")
        assert page.inner_text(".filters [role=status]") == "5 of 200 cells shown"
        page.check("input[name=state] >> nth=0")
        page.fill("[type=search]", "EDIT-12 model-5")
        shown = page.locator(".cells tbody tr:visible").all_inner_texts()
        assert shown and all("edit-12" in text and "model-5" in text for text in shown)
        page.fill("[type=search]", "edit-0.yaml")
        page.click("text=edit-0.yaml")
        assert page.inner_text("h2 >> nth=0") == "Before and after"
        page.click("text=all cells of the fleet")
        assert page.locator(".cells tbody tr").count() == 200


def test_what_a_stranger_wrote_does_not_run(browser: Any, tmp_path: Path) -> None:
    out = build_folder(tmp_path / "out")
    record = (out / "report.json").read_text()
    for old in ("a circle, number 1", "inversion", "uce", "manifest.yaml", "erase_residual"):
        record = record.replace(f'"{old}"', json.dumps(EVIL.replace("alert('1')", "window.ran = 1")))
    (out / "report.json").write_text(record)
    with Server(open_site(out)) as server, visiting(browser, server.address) as visit:
        visit.page.locator(".choices input").nth(1).check(force=True)
        assert "<script>" in visit.page.inner_text(".look figcaption >> nth=0"), "shown as text"
        assert visit.page.evaluate("window.ran") is None and not visit.page.query_selector("img[src=x]")
        assert visit.complaints == []
        visit.page.evaluate(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(PUT_IN)})")
        assert visit.page.evaluate("window.ran") is None and "Content Security Policy" in visit.complaints[0]


def test_an_exported_file_works_without_a_server(browser: Any, folder: Path, tmp_path: Path) -> None:
    (file,) = export(folder / "out", tmp_path / "page.html")
    with visiting(browser, file) as visit:
        visit.page.locator(".choices input").nth(2).check(force=True)
        assert visit.page.get_attribute(".look .compare .old >> nth=0", "alt") == "before: a circle, number 2"
        assert visit.page.locator(".try").count() == 0 and visit.complaints == []
    with visiting(browser, file, java_script_enabled=False) as visit:
        assert visit.page.locator(".choices img:visible").count() == 18
        assert visit.page.locator(".compare:visible").count() == 0
