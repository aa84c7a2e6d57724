"""What flows between the passes for language models: a layer's matrix as the problem that a method solves."""

from __future__ import annotations

from dataclasses import dataclass

from editc.ir import Array


@dataclass(frozen=True)
class Memory:
    """One matrix W (d_out, d_in) of a language model as a linear memory, and the changes that it is to hold.

    `keys` (d_in, m): what it reads at each edit's subject, the mean over contexts; `bare` (d_in, m): in the prompt as
    it stands. `residuals` (d_out, m): what is to be added to its output there. `moment` (d_in, d_in): E[k k^T] of
    ordinary text, not centred; `earlier` (d_in, p): keys of edits that are to stay as they are.
    """

    keys: Array
    bare: Array
    residuals: Array
    moment: Array
    earlier: Array


@dataclass(frozen=True)
class Writer:
    """One matrix W (d_out, d_in) that writes to the residual stream, and the stream where it writes: at prompts that
    carry a concept, `present` (n, d_out), and at prompts that do not, `absent` (n', d_out)."""

    weight: Array
    present: Array
    absent: Array
