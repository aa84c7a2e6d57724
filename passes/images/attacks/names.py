"""Names that nobody listed: words of the vocabulary that the unedited model takes for the concept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from editc.core.measurements import Access
from editc.core.ports import Diffusion
from editc.passes.images.attacks.attack import Case, Outcome
from editc.passes.images.attacks.goals import report_shares
from editc.passes.images.diffusion.reference import Reference
from editc.passes.images.diffusion.residual import ask_in_batches
from editc.passes.images.diffusion.sampling import paint
from editc.passes.images.diffusion.words import bare_tokens

BATCH = 64
"""Sentences encoded at a time. Chosen by hand to bound memory."""
ENCODED = 512
"""Words that are encoded, at most: those whose token embeddings are nearest. CLIP's vocabulary has some 40,000 whole
words, and encoding them all would take an hour. Chosen by hand."""
NEAREST = 32
"""Words that the model is asked about, at most: the nearest by rows. Chosen by hand: on the demo model both
other names of an object are among the nearest twelve."""
LATENTS = 8
"""Noised pictures at which it is asked."""
GLANCE = 2
"""Of these, those at which all words are asked about. A word whose s there is below half of SHARE is dropped."""
SHARE = 0.8
"""The share s from which a word counts as a name of the concept. On the demo model other names of an object reach 0.95
and more, and words for several objects (`animal`) 0.6. Chosen on that."""


@dataclass(frozen=True)
class Names:
    """The words that the unedited model takes for the concept and that the manifest does not list. Whether a word means
    the same is for a person to say; a picture that shows the concept counts, whatever it was called."""

    words: int = 8
    """How many words are tried at most."""

    summary: ClassVar[str] = "other words for the concept, which the manifest does not list"
    access: ClassVar[Access] = "prompts"
    needs_words: ClassVar[bool] = True
    quick: ClassVar[Mapping[str, Any]] = {}
    thorough: ClassVar[Mapping[str, Any]] = {"words": 16}

    def run(self, case: Case) -> Outcome:
        """Paint sentences with each word in turn; nothing where there is no such word."""
        import torch

        words = case.reference.words[: self.words]
        if not words:
            return Outcome(case.reference.pictures[:0], {"prompts": []})
        told = case.model.rows(
            [case.contexts[i % len(case.contexts)].format(words[i % len(words)]) for i in range(case.pictures)]
        )
        pictures = paint(case.model, told, case.seeds, case.steps, case.guidance)
        reached = report_shares(case, told[: len(words)], torch.Generator().manual_seed(case.seed))
        return Outcome(pictures, {"prompts": list(words), **reached})


def other_words(model: Diffusion, reference: Reference, words: Sequence[str], context: str) -> tuple[str, ...]:
    """Those of `words` that the unedited `model` takes for the concept, the surest first."""
    import torch

    if not words:
        return ()
    index = torch.arange(min(LATENTS, len(reference.latents)))
    rows = model.rows([context.format(word) for word in words])
    glance = _shares(model, reference, rows, index[:: max(1, len(index) // GLANCE)])
    asked = [one for one in range(len(words)) if glance[one] >= SHARE / 2]
    if not asked:
        return ()
    shares = dict(zip(asked, _shares(model, reference, rows[asked], index), strict=True))
    return tuple(words[one] for one in sorted(asked, key=lambda one: -shares[one]) if shares[one] >= SHARE)


def near_words(model: Diffusion, names: Sequence[str], context: str) -> tuple[str, ...]:
    """The NEAREST whole words of the vocabulary whose rows are nearest to the concept's, by cosine; none that is part
    of one of `names`."""
    import torch

    listed = {part for name in names for part in name.lower().split()}
    words = _embedded_near(model, names, [one for one in model.whole_words() if one not in listed])
    goal = _directions(model, context, list(names)).mean(0)
    found = [_directions(model, context, words[start : start + BATCH]) for start in range(0, len(words), BATCH)]
    near = torch.nn.functional.cosine_similarity(torch.cat(found), goal[None])
    return tuple(words[int(one)] for one in near.argsort(descending=True)[:NEAREST])


def _embedded_near(model: Diffusion, names: Sequence[str], words: list[str]) -> list[str]:
    """The ENCODED words whose token embeddings are nearest to those of the names' tokens, by cosine; in no order that
    matters."""
    import torch

    if len(words) <= ENCODED:
        return words
    own = torch.cat([model.embeddings[bare_tokens(model, name)] for name in names])
    table = torch.stack([model.embeddings[bare_tokens(model, word)].mean(0) for word in words])
    unit = torch.nn.functional.normalize(table, dim=-1) @ torch.nn.functional.normalize(own, dim=-1).T
    return [words[int(one)] for one in unit.amax(1).argsort(descending=True)[:ENCODED]]


def _directions(model: Diffusion, context: str, words: list[str]) -> Any:
    """(n, d): the mean row of a sentence with each word, less that of the sentence without it."""
    plain = model.rows([" ".join(context.replace("{}", "").split())]).mean(1)
    return model.rows([context.format(one) for one in words]).mean(1) - plain


def _shares(model: Diffusion, reference: Reference, rows: Any, index: Any) -> list[float]:
    """Mean s of the model's answers to the latents `index` (k,), for each of `rows` (n, t, d)."""
    every = index.repeat(len(rows))
    told = rows.repeat_interleave(len(index), 0)
    answers = ask_in_batches(model, reference.latents[every], reference.times[every], told)
    return [float(one) for one in reference.share(answers, every).view(-1, len(index)).mean(1)]
