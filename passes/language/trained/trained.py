"""What the options of trained methods for language models have in common, and how their schemes are put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:  # a manifest is checked without it
    from editc.passes.language.schemes.subject import Beside
    from editc.passes.training.scheme import Scheme, Term


@dataclass(frozen=True)
class TrainedOnRows:
    """Options that every trained method has."""

    rank: int = 8
    """Rank of the factors."""
    rate: float = 0.001
    """Adam's first rate. Published rates are for whole weights; factors that start at 0 need larger ones."""
    steps: int = 100
    """Steps of training."""
    batch: int = 8
    """Rows a step, of what is forgotten and of what is retained."""
    push: float = 1.0
    """Weight of what is forgotten (gamma in open-unlearning)."""
    keep: float = 1.0
    """Weight of what is retained (alpha in open-unlearning). 0: the retain set is only measured."""
    keep_by: Literal["nll", "kl", "stream"] = "nll"
    """How the retain set stays. `nll`: its answers stay likely. `kl`: the next token's distribution stays.
    `stream`: the residual stream after the last layer that is trained stays."""
    ordinary: float = 0.0
    """Weight of ordinary questions about well-known names, to which the model keeps saying what it said: KL of the next
    token. 0: none."""
    relearn: int = 0
    """Steps of relearning in the inner loop: half of the push is then taken after so many steps of training on what is
    to be forgotten. 0: none."""
    relearn_every: int = 10
    """Steps of training between two inner loops."""
    relearn_rate: float = 0.003
    """Adam's rate in the inner loop."""
    free: bool = False
    """True: the factors see only what the retain set hardly uses of each matrix's input."""
    energy: float = 0.001
    """With `free`: the share of the retain set's energy in a matrix's input that the factors may see, each token
    counted alike. 0: only directions that no retained token has."""
    works_on: ClassVar[str] = "rows"
    """It is trained on rows of text."""
    solves: ClassVar[tuple[str, ...]] = ("forget",)
    """The kinds of edits that may name it."""
    single: ClassVar[bool] = False
    """It changes the matrices of several layers."""
    edit_kind: ClassVar[Literal["train"]] = "train"
    """It is trained."""
    needs_prompts: ClassVar[bool] = False
    """True where rows of plain text, which have no prompt, cannot be trained on."""
    needs_subjects: ClassVar[bool] = False
    """True where each row to forget must say whom it is about."""
    roles: ClassVar[tuple[str, ...]] = ("mlp", "attention")
    """The roles of the matrices that it changes where the manifest names none."""

    def __post_init__(self) -> None:
        """Raise ValueError for an option below its least value."""
        for name in ("rank", "steps", "batch", "relearn_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}: it must be 1 or more")
        for name in ("rate", "relearn_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` is {getattr(self, name):g}: it must be more than 0")
        if not 0 <= self.energy < 1:
            raise ValueError(f"`energy` is {self.energy:g}: it is a share, 0 or more and less than 1")
        for name in ("push", "keep", "ordinary", "relearn"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` is {getattr(self, name):g}: it must be 0 or more")

    @property
    def needs_retain(self) -> bool:
        """True where it cannot do without a retain set."""
        return self.keep > 0 or self.free

    def beside(self) -> Beside:
        """What the method asks for beside the rows."""
        from editc.passes.language.schemes.subject import Beside

        return Beside(self.needs_subjects, getattr(self, "alternatives", 0), self.ordinary > 0)

    @staticmethod
    def usual_layers(count: int) -> tuple[int, ...]:
        """The layers that it changes in a model of `count` layers where the manifest names none: all."""
        return tuple(range(count))

    def objective(self) -> Any:
        """What the rows that are forgotten minimise."""
        raise NotImplementedError

    def kept(self) -> Any:
        """What the rows that are retained minimise."""
        from editc.passes.language.schemes.objectives.stay import StayClose, StayLikely
        from editc.passes.language.schemes.objectives.steer import StayInStream

        return {"nll": StayLikely, "kl": StayClose, "stream": StayInStream}[self.keep_by]()

    def terms(self) -> tuple[Term, ...]:
        """The loss: what is forgotten, and what is retained."""
        from editc.passes.language.schemes.feeds.texts import Texts
        from editc.passes.training.scheme import Term

        weight, texts, goal = self.push / (2 if self.relearn else 1), Texts("forget"), self.objective()
        forget = [Term("forget", "erase", texts, goal, weight, self.batch)]
        if self.relearn:
            forget.append(Term("forget after relearning", "erase", texts, goal, weight, self.batch, attacked=True))
        return (*forget, *self.kept_terms("retain"))

    def kept_terms(self, name: str) -> tuple[Term, ...]:
        """What stays: the retain set, as the term `name`, and ordinary questions. A weight of 0 leaves a term out."""
        from editc.passes.language.schemes.feeds.texts import Texts
        from editc.passes.language.schemes.objectives.stay import StayClose
        from editc.passes.training.scheme import Term

        retain = Term(name, "keep", Texts("retain"), self.kept(), self.keep, self.batch)
        ordinary = Term("ordinary", "keep", Texts("ordinary"), StayClose(), self.ordinary, self.batch)
        return tuple(one for one in (retain, ordinary) if one.weight > 0)

    def adversary(self) -> Any:
        """Who tries to bring back what is forgotten."""
        from editc.passes.language.schemes.adversaries.relearning import Relearning
        from editc.passes.training.no_adversary import NoAdversary

        if not self.relearn:
            return NoAdversary()
        return Relearning(self.relearn_every, self.relearn, self.relearn_rate, self.batch)

    def scheme(self) -> Scheme:
        """The method as a scheme."""
        from editc.passes.training.rules.total import Total
        from editc.passes.training.scheme import Optimiser, Scheme

        optimiser = Optimiser(self.rate)
        return Scheme(self.terms(), self.adversary(), Total(), optimiser, self.steps, self.rank, free=self.free)
