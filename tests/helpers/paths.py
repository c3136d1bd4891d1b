"""Where the project, its data and its commands are."""

from __future__ import annotations

import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SHARED_DATA = REPO.parent / "shared" / "data"
SHARED_CASES = REPO.parent / "shared" / "cases"

#: The reasons of every skip for missing data; `.ci/run` fails on them unless ALLOW_NO_DATA=1.
NO_DATA = "needs ../shared/data (real scans and published weights), which is not here"
NO_CASES = "needs ../shared/cases (small inputs that go wrong), which is not here"


def script(name: str) -> str:
    """The installed command line `name`, as a user calls it."""
    return str(Path(sys.executable).with_name(name))
