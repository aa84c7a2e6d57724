"""French taken out of SmolLM2-135M-Instruct by directions, measured on sentences that the directions have not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.facts_data import ENGLISH, FRENCH, RETAIN, UNSEEN_ENGLISH, UNSEEN_FRENCH
from benchmarks.facts_edits import DOWN, Changed, Lab, dense, timed
from editc.ir import Array, Edit
from editc.language import Prompt, Spot, Writer
from editc.passes.methods.ablate import Ablate
from editc.passes.methods.leace import LEACE

OUT = "model.layers.{}.self_attn.o_proj.weight"
TITLE = (
    "| edit | matrices | layers | French NLL | English NLL | retain KL | top-1 | s |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Way:
    """A method, the matrices that it changes and the layers, first and last."""

    name: str
    method: Callable[[Writer], Edit]
    matrices: tuple[str, ...]
    first: int
    last: int

    @property
    def layers(self) -> range:
        """Counted from 0."""
        return range(self.first, self.last + 1)


WAYS = (
    Way("ablate (default)", Ablate(), (OUT,), 0, 29),
    Way("ablate", Ablate(), (OUT,), 8, 28),
    Way("ablate", Ablate(), (OUT, DOWN), 8, 28),
    Way("ablate", Ablate(), (DOWN,), 8, 28),
    Way("ablate, half", Ablate(scale=0.5), (OUT,), 8, 28),
    Way("ablate, raw difference", Ablate(projected=False), (OUT,), 8, 28),
    Way("leace", LEACE(), (OUT,), 8, 28),
    Way("leace", LEACE(), (OUT, DOWN), 8, 28),
)


def streams(lab: Lab, texts: Sequence[str], layers: Sequence[int]) -> Mapping[int, Array]:
    """The stream (n, d) after each layer at the last token of every text."""
    return {layer: found.T for layer, found in lab.network.states(layers, [Spot(text) for text in texts]).items()}


def ablated(lab: Lab, way: Way) -> Changed:
    """Every matrix of the way without the direction of its own layer."""
    present, absent = (streams(lab, texts, way.layers) for texts in (FRENCH, ENGLISH))
    changed = {}
    for layer in way.layers:
        for name in (one.format(layer) for one in way.matrices):
            weight = lab.weight(name)
            changed[name] = weight + dense(way.method(Writer(weight, present[layer], absent[layer])))
    return changed


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
        matrices = " and ".join("attention" if one == OUT else "MLP" for one in way.matrices)
        figures = [f"{french.before.mean():.2f} {up:+.2f}", f"{english.before.mean():.2f} {side:+.2f}"]
        figures += [f"{rest.divergence.mean():.4f}", f"{rest.agreement.mean():.3f}", f"{seconds:.1f}"]
        print("| " + " | ".join([way.name, matrices, f"{way.first}-{way.last}", *figures]) + " |", flush=True)
        if way is WAYS[0]:
            good = "met" if up >= 0.5 and side <= 0.1 else "NOT MET"
            told = f"Bar, ablate: French NLL {up:+.3f} >= 0.5, English {side:+.3f} <= 0.1 {good}"
    print(f"\n{told}", flush=True)
