"""Builds and fleets for tests of `editc view`: made of reports and released deltas, so that nothing is solved or
painted; and what answers prompts in place of a model."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import report_language_cases
from places import FIXTURES
from report_cases import built

from editc.core.measurements import AttackResult, Certificate, Picture
from editc.core.ports import Progress
from editc.formats.exports.read import read_delta
from editc.report import record as report
from editc.report.bars import data_uri
from editc.viewing.brush import Asked, Brush, Part

DELTA = FIXTURES / "deltas" / "v1" / "shared.safetensors"
SIDE = 24


def picture(
    number: int, concept: str = "circle", erased: bool = True, saw: tuple[bool, bool] = (True, False)
) -> Picture:
    """A picture before and after, which no other number has."""
    pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    return Picture(concept, f"a {concept}, number {number}", number, erased, pixels, 255 - pixels, *saw)


def build_folder(folder: Path, pictures: int = 6, bystanders: int = 3) -> Path:
    """The folder of a build: its report with pictures and an attack, and a delta."""
    of = built()
    shown = [picture(number) for number in range(pictures)]
    shown += [picture(100 + number, "square", False, (True, number != 1)) for number in range(bystanders)]
    proof = Certificate("circle", 0.9, "a photo of a circle", 0.5, 0.6, 0.4, 0.4, 0.0, True, True, 1e-10, 1e-16)
    attack = AttackResult("inversion", "words", "circle", 5, 6, 6, "square", 6, {"words": 4}, 0)
    of = replace(of, report=replace(of.report, pictures=tuple(shown), attacks=(attack,), certificates=(proof,)))
    record = report.as_json(of, read_delta(DELTA))
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(report.as_text(record), encoding="utf-8")
    (folder / "report.html").write_text(report.as_html(of, record), encoding="utf-8")
    shutil.copyfile(DELTA, folder / "delta.safetensors")
    return folder


def language_folder(folder: Path) -> Path:
    """The folder of a build of a language model that failed: its report alone."""
    of = report_language_cases.verified()
    record = report.as_json(of)
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(report.as_text(record), encoding="utf-8")
    (folder / "report.html").write_text(report.as_html(of, record), encoding="utf-8")
    return folder


def open_fake(delta: str, model: str) -> Brush:
    """Answers at once; `slow` takes a step each tenth of a second, `stuck` never looks up, `dead` ends the process."""

    def paint(asked: Asked, progress: Progress) -> Iterator[Part]:
        if asked.prompt == "stuck":
            time.sleep(600)
        if asked.prompt == "dead":
            os._exit(3)
        if asked.prompt == "wrong":
            raise ValueError("no such thing")
        for _ in progress("painting before the edit", range(600 if asked.prompt == "slow" else 3)):
            time.sleep(0.1 if asked.prompt == "slow" else 0)
        shown = picture(asked.seed)
        yield {"part": "before", "image": data_uri(shown.before)}
        yield {"part": "after", "image": data_uri(shown.after)}

    return paint


def fleet_folder(folder: Path, cells: int = 200) -> Path:
    """The folder of a fleet of builds; the first cells have the folder of a build."""
    states, found = ("red", "amber", "green"), []
    for number in range(cells):
        name = f"{number:064x}"[::-1]
        about: dict[str, Any] = {"name": name, "folder": f"cells/{name[:24]}"}
        if number % 50 == 49:
            found.append({**about, "status": "waiting", "input": f"edit-{number}.yaml", "model": "editc:demo"})
            continue
        failed = number % 40 == 7
        state = states[number % 3]
        reason = {"state": state, "text": f"{number} of 300 pictures still show `circle`"}
        line = {"state": state, "reasons": [reason]}
        verdict = {"state": state, "works": line, "costs": {"state": "green", "reasons": []}, "robust": line}
        error = {"code": "E501", "severity": "error", "message": "erased of `circle` is 0.5, above 0.05"}
        found.append(
            {
                **about,
                "cell": 1,
                "verb": "build",
                "status": "failed" if failed else "done",
                "input": {"name": f"edits/edit-{number}.yaml", "hash": name},
                "model": {"name": f"models/model-{number % 7}", "hash": name},
                "options": {},
                "tool": "editc 0.1.0",
                "result": {} if failed else {"delta_id": name, "verdict": verdict, "claims": []},
                "files": [],
                "diagnostics": [error] if failed else [],
                "run": {"host": "h", "process": 1, "started": 0.0, "seconds": number / 7},
            }
        )
    counts = {state: sum(one["status"] == state for one in found) for state in ("done", "failed", "waiting")}
    folder.mkdir(parents=True)
    record = {"fleet": 1, "do": "build", "counts": counts, "cells": found}
    (folder / "fleet.json").write_text(json.dumps(record), encoding="utf-8")
    build_folder(folder / found[0]["folder"])
    return folder
