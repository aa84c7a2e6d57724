"""What all rules share: claims and counts by name, the state of a share, and numbers in words."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from editc.core.measurements import Answer, Claim, Picture, Report
from editc.core.verdict import Share, State

GOOD, POOR = 0.9, 0.5
"""Shares of what is as it should be: from GOOD on green, below POOR red, where no bound says what is enough. Chosen by
hand."""


def judge_share(claim: Claim | None, good: float) -> State:
    """The state of a claim by its bound; without a bound by `good`, the share of what is as it should be."""
    if claim is not None and claim.bound is not None:
        return "green" if claim.holds else "red"
    return "green" if good >= GOOD else "amber" if good >= POOR else "red"


def doubt(state: State, doubtful: bool) -> State:
    """Amber instead of green where the count is too small to prove it."""
    return "amber" if state == "green" and doubtful else state


def claims_of(report: Report, name: str, subject: str | None = None) -> list[Claim]:
    """The claims of this name, of one subject or of all."""
    return [one for one in report.claims if one.name == name and (subject is None or one.subject == subject)]


def pictures_of(report: Report, *concepts: str, erased: bool = True, attack: bool = False) -> list[Picture]:
    """The judged pictures of some concepts: with `attack` those that were attacked, with `erased` those of edits, else
    those that are preserved."""
    mine = [one for one in report.pictures if one.concept in concepts and one.shown_before is not None]
    return [one for one in mine if one.attack == attack and (one.erased or attack) == erased]


def count_shown(shots: Sequence[Picture]) -> Share:
    """How many pictures show their concept after the edit."""
    return Share(sum(bool(one.shown_after) for one in shots), len(shots))


def count_right(answers: Sequence[Answer], *purposes: str) -> Share:
    """How many prompts of these purposes are answered as they should be."""
    mine = [one.holds for one in answers if one.purpose in purposes]
    return Share(sum(mine), len(mine))


def list_some(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def sure_of_least(share: Share) -> str:
    """The lower 95 % limit of a share in words."""
    return f"95 % sure: at least {percent(share.at_least)}"


def sure_of_most(share: Share) -> str:
    """The upper 95 % limit of a share in words."""
    return f"95 % sure: at most {percent(share.at_most)}"


def percent(share: float) -> str:
    """A share as a percentage, with one decimal where it is near 0 or 1."""
    if not isfinite(share):
        return str(share)
    digits = f"{100 * share:.1f}" if 0 < share < 0.1 or 0.9 < share < 1 else f"{100 * share:.0f}"
    return digits.removesuffix(".0") + " %"
