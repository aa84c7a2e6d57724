"""The shorter tables of docs/measurements/against.md: the code of 2023 and RECE, language models, whole commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.against.problem import Case
from benchmarks.against.run import LANGUAGE, WIDTH, name

Figures = Mapping[str, Any]


def spans(found: Figures) -> Iterator[str]:
    """UCE of 2023 and three rounds of RECE. `**`: extrapolated by the number of concepts, from one and two."""
    yield "| method | concepts | preserved | published | editc | with the Gram sum | times | with new matrices |"
    yield f"|{'---|' * 8}"
    for method in ("uce2023", "rece"):
        for concepts, preserved in ((1, 0), (10, 0), (100, 0), (10, 100)):
            ours = found.get(name("ours", Case(method, concepts, preserved)))
            slow, mark = published_seconds(found, method, concepts + preserved)
            if ours is None or slow is None:
                continue
            quick, gram = ours["seconds"], ours.get("gram", 0.0)
            yield (
                f"| {method} | {concepts} | {preserved} | {slow:,.0f}{mark} | {quick:.3f} | {quick + gram:.2f} | "
                f"{slow / quick:,.0f} | {slow / (quick + gram + ours['apply']):,.0f} |"
            )


def published_seconds(found: Figures, method: str, keys: int) -> tuple[float | None, str]:
    """The published seconds with as many concepts and preserved texts, and the mark that says how they came about."""
    epochs, rounds = (1, 3) if method == "rece" else (3, 1)
    measured = [
        found.get(name("theirs", Case(method, concepts, 0, sampled=True, epochs=epochs))) for concepts in (1, 2)
    ]
    if any(one is None for one in measured):
        return None, ""
    one, two = (rounds * cell["seconds"] for cell in measured if cell is not None)
    return one + (keys - 1) * (two - one), "*" if keys == 1 else "**"


def language(found: Figures) -> Iterator[str]:
    """MEMIT and AlphaEdit on one matrix."""
    yield "| method | facts | preserved keys | published | editc | times | error, published | error, editc | bytes |"
    yield f"|{'---|' * 9}"
    for method in ("memit", "alphaedit"):
        for concepts, preserved in LANGUAGE:
            theirs, ours = (
                found.get(name(side, Case(method, concepts, preserved, WIDTH))) for side in ("theirs", "ours")
            )
            if theirs is None or ours is None:
                continue
            yield (
                f"| {method} | {concepts} | {preserved} | {theirs['seconds']:.2f} | {ours['seconds']:.2f} | "
                f"{theirs['seconds'] / ours['seconds']:.1f} | {theirs['error']:.0e} | {ours['error']:.0e} | "
                f"{theirs['bytes'] / 1e3:,.0f}, {ours['bytes'] / 1e3:,.0f} kB |"
            )


def commands(found: Figures) -> Iterator[str]:
    """Whole commands, UCE of 2025."""
    yield "| concepts | preserved | published | `editc build`, warm | times | peaks | bytes written |"
    yield f"|{'---|' * 7}"
    for concepts, preserved in ((1, 0), (10, 100)):
        case = Case("uce2025", concepts, preserved)
        script, build = (found.get(name(side, case)) for side in ("script", "build"))
        if script is None or build is None:
            continue
        slow, quick = script["process"], build["process"]
        yield (
            f"| {concepts} | {preserved} | {slow:.1f} | {quick:.1f} | {slow / quick:.1f} | "
            f"{script['peak'] / 1e6:,.0f}, {build['peak'] / 1e6:,.0f} MB | "
            f"{script['bytes'] / 1e6:.1f} MB, {build['bytes'] / 1e3:,.0f} kB |"
        )
