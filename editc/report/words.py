"""How the HTML report puts things: titles of the measurements, numbers for people, code in messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from editc.core.text import count as count

if TYPE_CHECKING:
    from markupsafe import Markup

FILTERS = (
    "chance",
    "count",
    "breakable",
    "figure",
    "percent",
    "ranges",
    "size",
    "tight_percent",
    "fixed_figure",
    "code_in_ticks",
    "encoded_by",
)
"""The functions below that the template uses."""

TITLES: Mapping[str, tuple[str, str]] = {
    "erase_residual": (
        "Erase residual",
        "how much of the concept is left in the outputs of the edited matrices; 1 is no edit, 0 all gone",
    ),
    "recoverable": (
        "Recoverable",
        "how much of the concept the worst text embedding can bring back; 1 is all of it, 0 nothing",
    ),
    "preserve_drift": (
        "Preserve drift",
        "how far the outputs for preserved prompts moved, relative to their size, at the worst matrix",
    ),
    "default_drift": ("Drift, default list", "the same for the prompts of the default list alone"),
    "named_drift": ("Drift, named", "the same for what the manifest names under `preserve` alone"),
    "bystander_loss": (
        "Bystanders lost",
        "the largest loss of a bystander: by how much the share of its pictures, or of its answers, fell",
    ),
    "unconditional_drift": (
        "Unconditional drift",
        "how far the outputs for the empty prompt moved, relative to their size, at the worst matrix",
    ),
    "rank": ("Rank", "the largest rank of any part of the delta"),
    "changed": ("Matrices changed", "how many matrices have at least one stored value that differs"),
    "condition": ("Condition number", "of the system that was solved; a build refuses more than 1e14"),
    "solve_residual": ("Solve residual", "relative error of the factorisation"),
    "discarded": ("Discarded", "share of the edit that was dropped to lower its rank"),
    "leak": (
        "Leak",
        "how different concept and target are for layers that are not edited; 0 is no leak, 1 as for unrelated texts",
    ),
    "erased": ("Still shown", "share of the pictures after the edit that show the erased concept"),
    "attacked": (
        "Shown under attack",
        "share of the pictures painted from the certificate's embeddings that show the concept",
    ),
    "brought_back": ("Brought back", "share of an attack's pictures that show the erased concept"),
    "shown_before": ("Shown before", "the control: share of the pictures before the edit that show the concept"),
    "kept_loss": (
        "Preserved concepts lost",
        "by how much the share of pictures that show their preserved concept fell",
    ),
    "toward_before": ("Share before", "share of the moderated concept's pictures that show this one, before the edit"),
    "toward_after": ("Share after", "share of the moderated concept's pictures that show this one, after the edit"),
    "toward_fitted": (
        "Share gap, searched",
        "largest difference from a wanted share, on the pictures that the search used",
    ),
    "toward_gap": ("Share gap", "largest difference from a wanted share, on pictures that the search did not use"),
    "worst_phrasing": (
        "Worst phrasings",
        "share of edited prompts that hold in the sentences in which they hold worst (`verify.worst`)",
    ),
    "phrasing": (
        "Worst phrasing",
        "the same in this sentence; `verify: {worst: {count: 4, rounds: 1}}` feeds the worst back into the edit",
    ),
    "suite": ("Suite", "a figure of `verify.suite`; model_utility as a share of the unedited model's"),
    "efficacy": (
        "Efficacy",
        "share of edited prompts that hold: the new answer is more likely than the old, or the old one is lost",
    ),
    "known": (
        "Known before",
        "the control: share of edited prompts whose old answer was the unedited model's first choice",
    ),
    "forgotten_nll_before": (
        "NLL of what is forgotten, before",
        "mean negative log-likelihood of a token of the answers to forget before the edit, in nats",
    ),
    "forgotten_nll_after": ("NLL of what is forgotten, after", "the same after the edit"),
    "learned_nll_before": (
        "NLL of what is learned, before",
        "mean negative log-likelihood of a token of the answers to learn before the edit, in nats",
    ),
    "learned_nll_after": ("NLL of what is learned, after", "the same after the edit"),
    "answered_before": ("Answered, before", "share of the erased class's examples that a classifier answers with it"),
    "answered": ("Answered", "the same after the edit; `editc head build` has a bound for it"),
    "others_same": (
        "Others, same answer",
        "share of the other examples, not answered with an erased class before, whose answer stays; `editc head build` "
        "has a bound for it",
    ),
    "others_right_before": ("Others, right, before", "share of the other labelled examples that are answered rightly"),
    "others_right": ("Others, right", "the same after the edit"),
    "told_apart_before": (
        "Told apart, before",
        "share of the variance of being of the class that a linear probe of a classifier's logits explains",
    ),
    "told_apart": ("Told apart", "the same after the edit"),
    "retained": ("Retained", "share of retained answers a token of which has 0.8 of its probability or more"),
    "retained_nll_before": (
        "NLL of what is retained, before",
        "mean negative log-likelihood of a token of the retained answers before the edit, in nats",
    ),
    "retained_nll_after": ("NLL of what is retained, after", "the same after the edit"),
    "paraphrase": ("Paraphrases", "share of paraphrases for which the new answer is more likely than the old one"),
    "neighbourhood": ("Neighbourhood", "share of neighbours whose own answer is still more likely than the new one"),
    "neighbours_unchanged": (
        "Neighbours unchanged",
        "share of neighbours whose most likely next token is the same as before",
    ),
    "retain_kl": (
        "Retain KL",
        "how far next-token predictions for other text moved: KL of before against after, in nats",
    ),
    "retain_top1": ("Retain top-1", "share of tokens of other text whose most likely next token is the same as before"),
    "retain_nll_before": (
        "Retain NLL before",
        "mean negative log-likelihood of a token of other text before the edit, in nats",
    ),
    "retain_nll_after": (
        "Retain NLL after",
        "mean negative log-likelihood of a token of other text after the edit, in nats",
    ),
    "present_nll": (
        "NLL with the concept",
        "by how much text with the ablated concept became less likely, in nats per token",
    ),
    "absent_nll": (
        "NLL without it",
        "by how much text without the ablated concept became less likely, in nats per token",
    ),
    "form": ("Form", "share of the questions in this form that hold"),
    "spread": ("Spread over forms", "share of the best form minus share of the worst"),
    "step": ("Step", "share of prompts that hold at this distance from the edited prompt: direct, indirect or implied"),
    "said": ("Said freely", "share of the continuations that name this answer first"),
    "fluency_before": (
        "Fluency before",
        "weighted entropy of the word pairs and triples in continuations before the edit, in bits",
    ),
    "fluency_after": ("Fluency after", "the same after the edit; near 0 the model repeats itself"),
    "at_start": (
        "At the start of a text",
        "how much of the edit acts if a text begins with the subject; 1 is all, 0 nothing",
    ),
    "carried": (
        "Carried by the first words",
        "how much of an edited name the model knows from these first words alone; 1 is all, 0 nothing",
    ),
    "trace_cosine": ("Trace, cosine", "lowest cosine between a column of an edited matrix before and after the edit"),
    "trace_cosine_mean": ("Trace, mean cosine", "the mean of this cosine over all columns that moved"),
    "trace_distance": (
        "Trace, distance",
        "largest distance that a column of an edited matrix moved, relative to its length",
    ),
    "trace_distance_mean": ("Trace, mean distance", "the mean of this distance over all columns that moved"),
    "trace_overlap": (
        "Trace, overlap",
        "lowest overlap (Jaccard index) of the 200 tokens that a column raises most, before and after the edit",
    ),
    "trace_overlap_mean": (
        "Trace, mean overlap",
        "the mean of this overlap over the columns that moved the most, at most 20",
    ),
}
"""Measurement -> its title and what it means. The glossary and `editc explain` print both."""


def figure(value: Any) -> str:
    """Format a number for people: whole numbers whole, others to three digits, very large and small ones with a power
    of ten."""
    if value is None or isinstance(value, str):
        return value or "\N{EN DASH}"
    number = float(value)
    if number == 0 or (number.is_integer() and abs(number) < 1e6):
        return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "\N{MINUS SIGN}")
    if 1e-3 <= abs(number) < 1e6:
        text = f"{number:.3g}" if abs(number) < 1000 else f"{number:.0f}"
        return text.replace("-", "\N{MINUS SIGN}")
    mantissa, _, power = f"{number:.1e}".partition("e")
    mantissa = mantissa.removesuffix(".0")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}\N{MULTIPLICATION SIGN}10{raised}".replace("-", "\N{MINUS SIGN}")


def fixed_figure(value: Any) -> str:
    """Format a number for a column: as `figure`, but with three digits even where the last is a zero."""
    if isinstance(value, str) or not 1e-3 <= abs(value) < 100:
        return figure(value)
    return f"{value:#.3g}".replace("-", "\N{MINUS SIGN}")


def breakable(name: str) -> Markup:
    """Escape a parameter name, and let it break after its dots."""
    from markupsafe import Markup, escape

    return Markup(".<wbr>").join(escape(part) for part in name.split("."))


def percent(value: Any) -> str:
    """Format a share as per cent, with one decimal if it has any. Text stays as it is."""
    if isinstance(value, str):
        return value
    text = f"{100 * value:.1f}".removesuffix(".0")
    return ("0" if text == "-0" else text.replace("-", "\N{MINUS SIGN}")) + "\N{NARROW NO-BREAK SPACE}%"


def chance(value: Any) -> str:
    """Format a probability as per cent: two digits where it is tiny, and never 100 % unless it is 1."""
    if isinstance(value, str) or not 0 < value < 1:
        return percent(value)
    if value < 0.0005:
        return figure(float(f"{100 * value:.2g}")) + "\N{NARROW NO-BREAK SPACE}%"
    return f">{percent(0.999)}" if value > 0.9995 else percent(value)


def ranges(numbers: Sequence[int]) -> str:
    """Format ascending whole numbers, with runs as ranges: 4\N{EN DASH}8, 12."""
    cuts = [i for i in range(1, len(numbers)) if numbers[i] != numbers[i - 1] + 1]
    runs = [numbers[start:end] for start, end in zip([0, *cuts], [*cuts, len(numbers)], strict=True)]
    return ", ".join("\N{EN DASH}".join(str(one) for one in dict.fromkeys((run[0], run[-1]))) for run in runs if run)


def code_in_ticks(text: str) -> Markup:
    """Escape a diagnostic's message, and mark what stands in backticks as code."""
    from markupsafe import Markup, escape

    parts = [escape(part) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts))


def tight_percent(text: str) -> str:
    """Keep per cent signs on the line of their numbers."""
    return text.replace(" %", "\N{NARROW NO-BREAK SPACE}%")


def size(count: int) -> str:
    """Format bytes in the unit that gives one to three digits before the point."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g}\N{NARROW NO-BREAK SPACE}{unit}"
    return f"{count}\N{NARROW NO-BREAK SPACE}B"


def encoded_by(encoders: Mapping[str, str]) -> str:
    """Say what ran each text encoder: `text_encoder by numpy, text_encoder_2 by transformers`."""
    return ", ".join(f"{part} by {runner}" for part, runner in encoders.items())
