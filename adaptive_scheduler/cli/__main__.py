"""Lets ``python -m adaptive_scheduler.cli`` do what the command does."""

from __future__ import annotations

import sys

from adaptive_scheduler.cli import main

if __name__ == "__main__":
    sys.exit(main())
