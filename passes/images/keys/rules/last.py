"""`keys: last`, as in UCE's second script (2025): the row of the bare name's last token."""

from __future__ import annotations

from editc.passes.images.keys.rules.bare import Bare


class Last(Bare):
    """The row of a bare name's last token goes to that of the bare target's; a target of no words is BOS."""

    empty_target = ""
    preserves = "last"

    def rows(self, old: int, old_last: int, new: int, new_last: int) -> tuple[slice, slice]:
        """Return the row of the last text token; of a target without words, row 0 (BOS)."""
        return slice(old_last, old_last + 1), slice(new_last, new_last + 1)


LAST = Last()
