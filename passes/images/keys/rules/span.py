"""`keys: span`, as in UCE's first script (2023): every row of the bare name's prompt from its last token on."""

from __future__ import annotations

from editc.passes.images.keys.rules.bare import Bare


class Span(Bare):
    """Every row from a bare name's last token on goes to its counterpart, so shifted that both last tokens meet."""

    empty_target = " "
    preserves = "all"
    counts_empty = True

    def rows(self, old: int, old_last: int, new: int, new_last: int) -> tuple[slice, slice]:
        """Return the rows from the last text token on, as many as both prompts have."""
        count = min(old - old_last, new - new_last)
        return slice(old_last, old_last + count), slice(new_last, new_last + count)


SPAN = Span()
