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
)
"""The functions below that the template uses."""

TITLES: Mapping[str, tuple[str, str]] = {
    "erase_residual": (
        "Erase residual",
        "how much of the concept is left in the edited outputs; 1 is no edit, 0 all gone",
    ),
    "recoverable": (
        "Recoverable",
        "how much of the concept any embedding can bring back, found or not; 1 all of it, 0 none",
    ),
    "preserve_drift": ("Preserve drift", "how far the outputs of preserved prompts moved, at the worst matrix"),
    "default_drift": ("Drift, default list", "the same over what is kept by default, whatever the manifest names"),
    "named_drift": ("Drift, named", "the same over what the manifest names under `preserve`"),
    "bystander_loss": (
        "Bystanders lost",
        "of a concept that the manifest does not name, the share of its pictures lost: the worst one",
    ),
    "unconditional_drift": (
        "Unconditional drift",
        "how far the outputs of the empty prompt moved, at the worst matrix",
    ),
    "rank": ("Rank", "the largest rank of any part of the delta"),
    "changed": ("Matrices changed", "how many hold at least one value that differs once stored"),
    "condition": ("Condition number", "of the solved system; above 1e14 it would have been refused"),
    "solve_residual": ("Solve residual", "relative error of the factorisation"),
    "discarded": ("Discarded", "share of the edit given up for a lower rank"),
    "leak": (
        "Leak",
        "how far apart layers that are not edited read the concept and its target; 0 is no leak, 1 as if unrelated",
    ),
    "erased": ("Still shown", "share of the pictures after the edit that show the erased concept"),
    "attacked": ("Shown under attack", "share of the pictures painted from the certificate's embeddings that show it"),
    "shown_before": ("Shown before", "the control: the same share before the edit"),
    "kept_loss": ("Kept concepts lost", "share of pictures showing their preserved concept, before less after"),
    "toward_before": ("Share before", "pictures of the moderated concept that show this one"),
    "toward_after": ("Share after", "pictures of the moderated concept that show this one"),
    "toward_fitted": ("Share gap, searched", "largest distance from a wanted share, on the pictures of the search"),
    "toward_gap": ("Share gap", "largest distance from a wanted share, on pictures that the search did not see"),
    "efficacy": (
        "Efficacy",
        "edited prompts that hold: the new answer is likelier than the old, or the old one is lost",
    ),
    "known": ("Known before", "the control: edited prompts where the old answer was the model's first choice"),
    "paraphrase": ("Paraphrases", "paraphrases where the new answer is likelier than the old one"),
    "neighbourhood": ("Neighbourhood", "neighbours whose own answer is still likelier than the new one"),
    "neighbours_unchanged": ("Neighbours unchanged", "neighbours whose likeliest next token is what it was"),
    "retain_kl": ("Retain KL", "how far the next token of other text moved: KL of before against after, in nats"),
    "retain_top1": ("Retain top-1", "tokens of other text whose likeliest successor is what it was"),
    "retain_nll_before": ("Retain NLL before", "negative log-likelihood of a token of other text, in nats"),
    "retain_nll_after": ("Retain NLL after", "negative log-likelihood of a token of other text, in nats"),
    "present_nll": (
        "NLL with the concept",
        "by how much text that carries the ablated concept became less likely, nats",
    ),
    "absent_nll": ("NLL without it", "by how much text without the ablated concept became less likely, nats"),
    "form": ("Form", "share of the edits that hold when they are asked for in this form"),
    "spread": ("Spread over forms", "the best form less the worst"),
    "step": ("Step", "share that holds: the edited prompt itself, one that leads to it, one that needs a further step"),
    "said": ("Said freely", "share of the continuations that name this first"),
    "fluency_before": ("Fluency before", "weighted entropy of word pairs and triples of continuations, in bits"),
    "fluency_after": ("Fluency after", "the same after the edit: near 0 the model repeats itself"),
    "at_start": ("At the start of a text", "how much of the edit acts where a text begins with the subject; 1 is all"),
    "carried": (
        "Carried by a beginning",
        "how much of what sets an edited name apart stands at these words of it already",
    ),
    "trace_cosine": ("Trace, cosine", "in the edited weights: between the column that turned the most and what it was"),
    "trace_cosine_mean": ("Trace, mean cosine", "the mean over all columns that moved"),
    "trace_distance": (
        "Trace, distance",
        "in the edited weights: by how much the column that moved the most did, relative to its length",
    ),
    "trace_distance_mean": ("Trace, mean distance", "the mean over all columns that moved"),
    "trace_overlap": (
        "Trace, overlap",
        "of the 200 words that a column raises most, before and after, shared by both among all; the lowest",
    ),
    "trace_overlap_mean": ("Trace, mean overlap", "the mean over the columns that moved the most, at most 20"),
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
