"""Which sentences an attack is made in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import verify_cases
from verify_cases import FAMILY, Eye, context, erase, images

from editc.core.image_check import AttackCheck
from editc.core.manifest import Request
from editc.core.plan import Plan
from editc.passes.images.attacks.run import run_attacks

OWN = ("a portrait of {}", "{} smiling")


class AskedError(Exception):
    """Ends the run once its cases are asked for."""


def contexts_of(*edits: Request, **fields: Any) -> dict[str, set[str]]:
    """Concept -> the sentences in which it is attacked."""
    found: dict[str, set[str]] = {}

    @contextmanager
    def open_workers(changed: object) -> Iterator[Any]:
        def work(stage: str, tasks: Sequence[Any]) -> Sequence[Any]:
            found.update({one.concept: set(one.contexts) for one in tasks})
            raise AskedError

        yield work

    asked = verify_cases.manifest(*edits, images=images(), attacks=(AttackCheck(name="rows"),), **fields)
    eye = Eye(dict.fromkeys(("circle", "ring", "boat", "cat"), 1.0), {})
    with pytest.raises(AskedError):
        ports = replace(context(eye=eye), open_workers=open_workers)
        run_attacks(Plan(asked, FAMILY, "tiny", (), {}), ports, {}, ("boat", "cat"), ())
    return found


def test_a_concept_is_attacked_in_its_edit_s_own_sentences_and_the_control_in_the_first_edit_s() -> None:
    """A person's name or a style stands in other sentences than an object."""
    found = contexts_of(erase("circle", contexts=OWN), erase("ring"))
    assert found == {"circle": {*OWN}, "ring": {*FAMILY.contexts}, "boat": {*OWN}}


def test_without_its_own_they_are_the_manifest_s_or_the_family_s() -> None:
    assert contexts_of(erase("circle"))["circle"] == {*FAMILY.contexts}
    assert contexts_of(erase("circle"), contexts=OWN)["circle"] == {*OWN}


def test_an_edit_that_erases_nothing_is_not_attacked() -> None:
    asked = verify_cases.manifest(
        Request(kind="moderate", concept="circle"), images=images(), attacks=(AttackCheck(name="rows"),)
    )
    ports = replace(context(eye=Eye({"boat": 1.0, "cat": 1.0}, {})), open_workers=lambda changed: pytest.fail("opened"))
    assert run_attacks(Plan(asked, FAMILY, "tiny", (), {}), ports, {}, ("boat", "cat"), ()) == ()
