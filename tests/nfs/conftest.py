"""Tests that take place in a guest are collected there only."""

from __future__ import annotations

import os

from tests.nfs.guest import IN_GUEST

collect_ignore = [] if IN_GUEST in os.environ else ["inside"]
