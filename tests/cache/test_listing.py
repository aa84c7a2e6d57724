"""The files of a cache are listed again where they changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editc.cache.disk import DiskCache, remove_oldest

ROWS = {"rows": np.ones((2, 3))}


def test_a_listing_is_never_older_than_what_this_process_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system's clock stands still: it tells no change from another."""
    cache, real = DiskCache(tmp_path / "cache"), Path.stat
    cache.put("a", ROWS)

    def stopped(path: Path, **options: Any) -> Any:
        found = real(path, **options)
        return os.stat_result((*found[:7], 1.0, 1.0, 1.0)) if path == cache.folder else found

    monkeypatch.setattr(Path, "stat", stopped)
    for key in "bcd":
        assert cache.get(key) is None
        cache.put(key, ROWS)
        assert cache.get(key) is not None
    removed = remove_oldest(cache.folder, 0)
    assert len(removed) == 4 and remove_oldest(cache.folder, 0) == []
