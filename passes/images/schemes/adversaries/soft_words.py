"""New words before or in place of the concept's name, learned through the text encoder while the edit is trained.

RECELER (Huang et al., ECCV 2024, arXiv 2311.17717) learns 16 words that go on from search to search; AdvUnlearn (Zhang
et al., NeurIPS 2024, arXiv 2405.15234) learns one word before the prompt; STEREO (Srivatsan et al., CVPR 2025, arXiv
2408.16807) learns a word in the name's place, and keeps every one that it found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from editc.core.ports import Diffusion
from editc.passes.images.diffusion.descent import descend
from editc.passes.images.diffusion.words import places_in
from editc.passes.images.schemes.ask import Ask
from editc.passes.training.scheme import Drawn, State


@dataclass(frozen=True)
class SoftWords:
    """One search minimises mean |v(sentence with the words) - v_before(concept)|^2 over noised latents."""

    every: int
    """Steps between two searches."""
    words: int = 16
    """How many new words."""
    steps: int = 50
    """Steps of Adam in one search."""
    rate: float = 0.1
    """Adam's rate, in units of the root mean square of an embedding's entries."""
    decay: float = 0.1
    """AdamW's weight decay."""
    latents: int = 4
    """Latents a step."""
    before: bool = True
    """True: the words stand before the concept's name. False: they stand in its place."""
    persistent: bool = True
    """True: a search goes on from the words of the last one. False: it starts from random words."""
    memory: bool = False
    """True: every word that was found is drawn from. False: only the last."""
    contexts: tuple[str, ...] = ("{}",)
    """Sentences with a `{}` in which the words are learned and asked."""

    def search(self, state: State, ask: Ask, generator: Any) -> tuple[State, tuple[float, ...]]:
        """Learn the words against the edited model."""
        import torch

        table = ask.model.embeddings
        scale = float(table.square().mean().sqrt())
        begin = state["words"][-1:] if state and self.persistent else self._random(table, generator)

        def loss(words: Any, step: int) -> Any:
            index = torch.randint(len(ask.pool), (self.latents,), generator=generator)
            told = self._rows(ask, words, step).repeat(self.latents, 1, 1)
            with ask.factors.switched(True):
                answers = ask.model.answer(ask.pool.latents[index], ask.pool.times[index], told)
            return (answers - ask.pool.answers(ask.model, "own")[index]).square().mean()

        with ask.factors.switched(False):
            ask.pool.answers(ask.model, "own")
        found = descend(begin, loss, self.steps, self.rate * scale, floor=1.0, decay=self.decay)
        words = torch.cat([state["words"], found]) if state and self.memory else found
        return {"words": words}, ()

    def draw(self, state: State, ask: Ask, generator: Any) -> Drawn | None:
        """Rows of sentences with the words."""
        import torch

        which = torch.randint(len(state["words"]), (len(ask.index),), generator=generator)
        with torch.set_grad_enabled(ask.factors.encodes):
            rows = [self._rows(ask, state["words"][int(one)][None], step) for step, one in enumerate(which)]
        return Drawn(torch.cat(rows), torch.full((len(rows),), -1))

    def follow(self, model: Diffusion, state: State, drawn: Drawn) -> State:
        """The words stay until the next search."""
        return state

    def _random(self, table: Any, generator: Any) -> Any:
        """(1, words, e): embeddings of random words of the vocabulary."""
        import torch

        return table[torch.randint(len(table), (1, self.words), generator=generator)]

    def _rows(self, ask: Ask, words: Any, number: int) -> Any:
        """(1, t, d): the edited encoder's rows of context number `number` with the words (1, k, e)."""
        context = self.contexts[number % len(self.contexts)]
        name = ask.pool.names[number % len(ask.pool.names)]
        sentence = context.replace("{}", "{} " + name) if self.before else context
        ids, places = places_in(ask.model, sentence, self.words)
        with ask.factors.switched(True):
            return ask.model.encode_tokens(ids, places, words)
