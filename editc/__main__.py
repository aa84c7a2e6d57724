"""`python -m editc` and the `editc` command."""

from __future__ import annotations

from editc.cli import main

if __name__ == "__main__":
    main()
