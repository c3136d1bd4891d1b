"""A data set in ARC's layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.make_arc import make_arc


@pytest.fixture(scope="session")
def arc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine usable subjects and four broken ones. Shared by test files: nothing may write into it."""
    root = tmp_path_factory.mktemp("arc")
    make_arc(root, subjects=9)
    return root
