"""A page shows what lies in a delta, a build or a fleet, says what it cannot show, and runs nothing of theirs."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from command import editc
from fleet_cases import run, write_plan
from imported import imported
from PIL import Image
from report_cases import EVIL, Structure
from signing_cases import key_files
from view_cases import DELTA, build_folder, fleet_folder, language_folder, picture

from editc.core.diagnostics import EditcError
from editc.report.pictures import read_pictures
from editc.viewing.page import Setting, delta_page, script
from editc.viewing.server import Server
from editc.viewing.signature import UNSIGNED
from editc.viewing.site import HOME, open_site
from editc.viewing.subject import bare_record, open_subject
from editc.viewing.view import open_pages


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_folder(tmp_path_factory.mktemp("view") / "out")


def page(path: Path, served: bool = False, place: str = HOME, **given: Any) -> str:
    found = open_pages(path, **given).page(place, served)
    assert found is not None
    return found


def code(path: Path) -> str:
    with pytest.raises(EditcError) as caught:
        page(path)
    return caught.value.diagnostics[0].code


def own_tags(text: str) -> set[str]:
    """The tags of a page, without those that its own script names."""
    assert text.count(script()) == 1
    return Structure(text.replace(script(), "")).tags


# ---------------------------------------------------------------- what is on a page


def test_the_page_of_a_build_has_all_that_the_build_measured(build: Path) -> None:
    text = page(build)
    for heading in ("Before and after", "Bystanders", "Attacks", "Constraints", "Edits", "Matrices", "Signature"):
        assert re.search(rf"<h2 id=[^>]*>{heading}</h2>", text), heading
    assert "9 of 9 pairs of pictures have, pixel for pixel" in text
    assert text.count('type="radio"') == 9 and text.count('type="range"') == 2
    assert "1 lost" in text and "5 of 6" in text and "Not signed" in text
    assert "Try a prompt" not in text, "a file that is sent to others cannot ask a model"


def test_a_page_is_the_same_each_time(build: Path) -> None:
    assert page(build) == page(build)


def test_the_delta_of_a_build_shows_its_build(build: Path) -> None:
    assert page(build / "delta.safetensors") == page(build)


def test_a_delta_alone_says_what_is_missing() -> None:
    text = page(DELTA)
    assert "This is the delta alone" in text and "circle" in text and "Erase residual" in text
    assert not re.search(r"<h2 id=.(pictures|bystanders)", text)
    assert open_subject(DELTA).model == "", "its manifest is none that can be read"


def test_a_build_that_failed_is_shown_without_a_delta(tmp_path: Path) -> None:
    folder = build_folder(tmp_path / "out")
    (folder / "delta.safetensors").unlink()
    assert "there is no delta here" in page(folder, served=True)


def test_a_language_model_has_its_answers_on_the_page(tmp_path: Path) -> None:
    text = page(language_folder(tmp_path / "out"))
    assert "Said before" in text and "Says now" in text and "Before and after" not in text


def test_a_report_without_its_page_is_shown_without_pictures(tmp_path: Path) -> None:
    folder = build_folder(tmp_path / "out")
    (folder / "report.html").unlink()
    text = page(folder)
    assert "report.html beside report.json does not have these pictures" in text and "<img src" not in text


def test_a_page_says_why_no_prompt_can_be_tried(build: Path) -> None:
    assert "the model is not on this computer" in page(build, served=True)
    assert '<form autocomplete="off">' in page(build, served=True, model="editc:demo")


# ---------------------------------------------------------------- what cannot be shown


def test_what_is_no_delta_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    assert [code(tmp_path / "missing"), code(tmp_path / "notes.txt"), code(tmp_path)] == ["E610", "E970", "E970"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"report": 1}', '{"report": 2}', '{"a": 1, "a": 2}', "\ud800"])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert code(tmp_path) == "E971"
    (tmp_path / "report.json").rename(tmp_path / "fleet.json")
    assert code(tmp_path) == "E971"


def test_the_report_of_another_delta_is_refused(tmp_path: Path) -> None:
    folder = build_folder(tmp_path / "out")
    shutil.copyfile(DELTA.with_name("dense.safetensors"), folder / "delta.safetensors")
    assert code(folder) == "E971"
    assert "This is the delta alone" in page(folder / "delta.safetensors")


def test_a_report_has_the_fields_that_pages_ask_for(build: Path) -> None:
    assert not bare_record().keys() - json.loads((build / "report.json").read_text()).keys()


# ---------------------------------------------------------------- what strangers write


def replaced(value: Any, key: str, text: Any) -> Any:
    """The value with `text` in place of every text and number under `key`."""
    if isinstance(value, dict):
        plain = [name for name, one in value.items() if name == key and not isinstance(one, dict | list)]
        return {name: replaced(one, key, text) for name, one in value.items()} | dict.fromkeys(plain, text)
    if isinstance(value, list):
        return [text if isinstance(one, str) and key == "lines" else replaced(one, key, text) for one in value]
    return value


def keys(value: Any) -> Iterator[str]:
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(one)
    yield from value if isinstance(value, dict) else ()


@pytest.mark.parametrize("kind", ["image", "language"])
def test_no_text_of_a_report_becomes_a_part_of_the_page(tmp_path: Path, kind: str) -> None:
    small = build_folder(tmp_path / "out", 1, 1) if kind == "image" else language_folder(tmp_path / "out")
    file = small / "report.html"
    file.write_text("".join(re.findall("<figure class=.pair.*?</figure>", file.read_text())))
    record, usual, shown = json.loads((small / "report.json").read_text()), own_tags(page(small)), 0
    for key in sorted({*keys(record)}):
        (small / "report.json").write_text(json.dumps(replaced(record, key, EVIL)))
        try:
            text = delta_page(open_subject(small), UNSIGNED, Setting())
        except EditcError as error:
            assert {one.code for one in error.diagnostics} == {"E971"}, key
            continue
        assert own_tags(text) <= usual | {"code", "small", "div", "ul", "li", "b", "a"}, key
        shown += "&lt;script&gt;alert" in text
    assert shown > 12


def test_of_the_page_of_a_report_only_pictures_are_taken(build: Path, tmp_path: Path) -> None:
    shutil.copytree(build, tmp_path / "out")
    file = tmp_path / "out" / "report.html"
    file.write_text(file.read_text().replace("<main>", f"<main>{EVIL}<script>alert(2)</script>"))
    assert page(tmp_path / "out") == page(build)


def uri(pixels: Any, kind: str = "PNG") -> str:
    out = BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return f"data:image/{kind.lower()};base64,{b64encode(out.getvalue()).decode()}"


def test_a_picture_that_the_report_does_not_name_is_left_out(build: Path) -> None:
    entries = json.loads((build / "report.json").read_text())["pictures"]
    text, other = (build / "report.html").read_text(), picture(77)
    assert read_pictures(text, entries).same == 9
    first = re.search(r'data:image/png;base64,[^"]+', text)
    assert first
    for address in (
        uri(other.before),
        uri(other.before, "GIF"),
        "https://example.org/a.png",
        "data:image/png;base64,AA==",
    ):
        found = read_pictures(text.replace(first[0], address), entries)
        assert (found.same, found.reduced, found.pictures[0].before.size) == (8, 0, 0), address
    assert read_pictures(text.replace(first[0], uri(other.before)), entries).other == 1
    assert read_pictures("<p>none", entries).shown == read_pictures(text, []).shown == 0


# ---------------------------------------------------------------- signatures


def test_a_page_says_whose_signature_it_is(tmp_path: Path) -> None:
    folder, key, stranger = build_folder(tmp_path / "out"), key_files(tmp_path, "a"), key_files(tmp_path, "b").shown
    assert editc("sign", str(folder), "--key", str(key.secret)).returncode == 0
    assert 'signature warn"><b>Signed, but nobody checked by whom' in page(folder)
    assert f'signature ok"><b>Signed by {key.shown}' in page(folder, keys=[key.shown])
    assert "(E905)" in page(folder, keys=[stranger])
    (folder / "notes.txt").write_text("more")
    assert "(E907)" in page(folder) and "(E907)" in page(folder, keys=[key.shown])


# ---------------------------------------------------------------- fleets


def test_the_page_of_a_fleet_has_the_worst_cells_first(tmp_path: Path) -> None:
    site = open_site(fleet_folder(tmp_path / "fleet", 60))
    text = site.page(HOME, False)
    assert text is not None and own_tags(text)
    states = re.findall(r'<tr data-state="(\w+)"', text)
    assert len(states) == 60 and states == sorted(states, key=["failed", "red", "amber", "green", "waiting"].index)
    names = [name for name in re.findall(r"edits/edit-(\d+)\.yaml", text) if int(name) % 3 == 0 and int(name) % 40 != 7]
    assert names == sorted(names, key=int)


def test_each_cell_has_a_page(tmp_path: Path) -> None:
    site = open_site(fleet_folder(tmp_path / "fleet", 60))
    pages = dict(site.pages())
    assert len(pages) == 1 + 60 - 1, "a cell that waits has none"
    linked = set(re.findall(r'href="(cells/[^"]+)"', pages[HOME]))
    assert linked == pages.keys() - {HOME} and all('href="../index.html"' in pages[one] for one in linked)
    assert sum("Before and after" in pages[one] for one in linked) == 1, "one cell has the folder of a build"


def test_a_cell_is_found_by_its_name_alone(tmp_path: Path) -> None:
    site = open_site(fleet_folder(tmp_path / "fleet", 3))
    for place in ("cells/../fleet.json", "cells/", "../fleet.json", "cells/x.html", "fleet.json", ""):
        assert site.page(place, True) is None and site.subject(place) is None


def test_a_fleet_with_a_cell_outside_of_it_is_refused(tmp_path: Path) -> None:
    folder = fleet_folder(tmp_path / "fleet", 3)
    record = json.loads((folder / "fleet.json").read_text())
    record["cells"][0]["name"] = "../" * 8 + "etc"
    (folder / "fleet.json").write_text(json.dumps(record))
    assert code(folder) == "E971"


# ---------------------------------------------------------------- the command


def test_the_export_of_a_build_is_one_file_that_asks_nobody(build: Path, tmp_path: Path) -> None:
    done = editc("view", str(build), "--export", str(tmp_path / "for-the-lawyer.html"), "--json")
    assert json.loads(done.stdout) == {
        "status": "done",
        "file": str(tmp_path / "for-the-lawyer.html"),
        "files": [str(tmp_path / "for-the-lawyer.html")],
    }
    text = (tmp_path / "for-the-lawyer.html").read_text()
    assert text == page(build) and "connect-src &#39;none&#39;" in text and "fetch(" in script()
    assert not [one for one in Structure(text.replace(script(), "")).links if not one[1].startswith(("#", "data:"))]


def test_the_export_of_a_fleet_is_a_folder(tmp_path: Path) -> None:
    fleet = fleet_folder(tmp_path / "fleet", 5)
    done = editc("view", str(fleet), "--export", str(tmp_path / "pages"))
    assert done.stdout == f"wrote {tmp_path}/pages/index.html and 5 pages beside it\n"
    assert len([*(tmp_path / "pages").rglob("*.html")]) == 6
    done = editc("view", str(fleet), "--export", str(tmp_path / "one.html"))
    assert done.returncode == 2 and "E974" in done.stderr and not (tmp_path / "one.html").exists()


def test_a_page_that_cannot_be_written_is_refused_before_the_work(build: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "E697" in editc("view", str(build), "--export", str(tmp_path / "file" / "a.html")).stderr
    assert "E697" in editc("view", str(build), "--export", str(tmp_path / "file")).stderr


def test_a_port_of_another_program_is_refused(build: Path) -> None:
    with Server(open_site(build)) as server:
        done = editc("view", str(build), "--port", str(server.port))
    assert done.returncode == 2 and "error[E972]" in done.stderr


def test_a_subject_knows_its_kind_of_model(build: Path) -> None:
    assert not open_subject(build).language and open_subject(build).model == "tiny"


def test_a_fleet_as_it_runs_is_shown(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(write_plan(tmp_path, 2, ("dense", "shared")), out, share=(0, 2))
    pages = dict(open_site(out).pages())
    assert "Apply: 2 of 4 cells done, 0 failed" in pages[HOME] and "2 cells wait" in pages[HOME]
    assert len(pages) == 3 and all("models/m" in text for text in pages.values())


def test_pages_are_made_without_torch(build: Path, tmp_path: Path) -> None:
    loaded = imported(["view", str(build), "--export", str(tmp_path / "page.html")])
    assert not loaded & {"torch", "transformers", "diffusers", "scipy"}
