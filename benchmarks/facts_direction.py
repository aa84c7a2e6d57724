"""French taken out of SmolLM2-135M-Instruct by directions, measured on sentences that the directions have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.facts_data import ENGLISH, FRENCH, RETAIN, UNSEEN_ENGLISH, UNSEEN_FRENCH
from benchmarks.facts_edits import Changed, Lab, edited, timed
from editc.core.language_edits import Ablation
from editc.core.places import Scalar
from editc.core.prompts import Prompt

TITLE = (
    "| edit | matrices | layers | French NLL | English NLL | retain KL | top-1 | s |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Way:
    """A method, and the roles and layers that the manifest names: none are the defaults."""

    method: str
    options: Mapping[str, Scalar]
    roles: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()


MIDDLE = tuple(range(8, 29))
WAYS = (
    Way("ablate", {}),
    Way("ablate", {}, (), MIDDLE),
    Way("ablate", {}, ("attention", "mlp"), MIDDLE),
    Way("ablate", {}, ("mlp",), MIDDLE),
    Way("ablate", {"scale": 0.5}),
    Way("ablate", {"projected": False}),
    Way("leace", {}),
    Way("leace", {}, (), MIDDLE),
)


def ablated(lab: Lab, way: Way) -> Changed:
    """What the passes make of the direction between the sentences."""
    edit = Ablation(concept="French", present=tuple(FRENCH), absent=tuple(ENGLISH), options=way.options)
    return edited(lab, [edit], way.method, way.layers, way.roles)


def run(lab: Lab) -> None:
    """The table, and the bar of the default."""
    print(f"\n### French, by {len(FRENCH)} sentences and their English\n\n{TITLE}", flush=True)
    told = ""
    for way in WAYS:
        changed, seconds = timed(lambda way=way: ablated(lab, way))
        french, english, rest = (
            lab.network.compare([Prompt(text) for text in texts], changed)
            for texts in (UNSEEN_FRENCH, UNSEEN_ENGLISH, RETAIN)
        )
        up, side = (float((one.after - one.before).mean()) for one in (french, english))
        given = ", ".join(f"{name}: {value}" for name, value in way.options.items())
        layers = f"{way.layers[0]}-{way.layers[-1]}" if way.layers else "default"
        figures = [f"{french.before.mean():.2f} {up:+.2f}", f"{english.before.mean():.2f} {side:+.2f}"]
        figures += [f"{rest.divergence.mean():.4f}", f"{rest.agreement.mean():.3f}", f"{seconds:.1f}"]
        print(
            "| " + " | ".join([f"{way.method} {given}", " and ".join(way.roles) or "default", layers, *figures]) + " |",
            flush=True,
        )
        if way is WAYS[0]:
            good = "met" if up >= 0.5 and side <= 0.1 else "NOT MET"
            told = f"Bar, ablate: French NLL {up:+.3f} >= 0.5, English {side:+.3f} <= 0.1 {good}"
    print(f"\n{told}", flush=True)
