"""Fixtures every test may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
SHARED_DATA = REPO.parent / "shared" / "data"
SHARED_CASES = REPO.parent / "shared" / "cases"

#: The reason of every skip for missing data; `.ci/run` fails on it unless ALLOW_NO_DATA=1.
NO_DATA = "needs ../shared/data (real scans and published weights), which is not here"


def script(name: str) -> str:
    """The installed command line `name`, as a user calls it."""
    return str(Path(sys.executable).with_name(name))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are reported as skipped, with the reason, where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="not run: needs a CUDA device"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven cases of six subjects, prepared at 20³ voxels of 9 mm. Shared by test files: nothing may write into it."""
    from tests.helpers.make_arc import prepare_arc

    return prepare_arc(tmp_path_factory.mktemp("arc"), subjects=6, size=20, voxel_size_mm=9.0)


@pytest.fixture(scope="module")
def threads_restored() -> Iterator[None]:
    """Gives PyTorch its threads back after a file whose runs set `trainer.threads`, which is the whole process's."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans, weights and expected results; skips the test where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(NO_DATA)
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Folder of small inputs that go wrong, each one real complaint; skips the test where it is absent."""
    if not SHARED_CASES.is_dir():
        pytest.skip(NO_DATA.replace("data (real scans and published weights)", "cases (small inputs that go wrong)"))
    return SHARED_CASES


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_DATA=1 (continuous integration), a test skipped for missing data has failed."""
    report = yield
    if os.environ.get("REQUIRE_DATA") == "1" and report.skipped and NO_DATA in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {NO_DATA}; put it there, or set ALLOW_NO_DATA=1 to let such tests be skipped"
    return report
