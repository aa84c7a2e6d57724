"""`keys: last`, UCE's of 2025 (its second script): the row of the last token of the bare name."""

from __future__ import annotations

from editc.passes.images.keys.rules.bare import Bare


class Last(Bare):
    """The row of a bare name's last token goes to that of the bare target's; a target of no words is BOS."""

    nothing = ""
    preserves = "last"

    def rows(self, old: int, old_last: int, new: int, new_last: int) -> tuple[slice, slice]:
        """The row of the last subject token alone; `*_last` is 0 (BOS) for the empty text."""
        return slice(old_last, old_last + 1), slice(new_last, new_last + 1)


LAST = Last()
