"""Fixtures every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
SHARED_DATA = REPO.parent / "shared" / "data"

#: The reason of every skip for missing data; `.ci/run` fails on it unless ALLOW_NO_DATA=1.
NO_DATA = "needs ../shared/data (real scans and published weights), which is not here"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans, weights and expected results; skips the test where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(NO_DATA)
    return SHARED_DATA
