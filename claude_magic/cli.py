"""`claude-magic`: the shell's side. So far `demo`, which runs the tour and opens it."""

from __future__ import annotations
