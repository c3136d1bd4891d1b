"""Fixtures every test may use."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.helpers.locks import shared_machine
from tests.helpers.order import LONGEST_FIRST
from tests.helpers.paths import NO_CASES, NO_DATA, REPO, SHARED_CASES, SHARED_DATA

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before PyTorch and NumPy are loaded: workers, and the commands they start, share the cores instead of each
    # taking all of them.
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts long files to the front, and skips tests that need a CUDA device where there is none."""
    ranks = {REPO / "tests" / name: rank for rank, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
    _skip_without_cuda(items)


def pytest_collection_finish() -> None:
    """Spares every later garbage collection the hundreds of thousands of objects of the imported packages.

    statsmodels collects at each correction of p values: 10 of the 12 s in which a table of all models is made.
    """
    gc.collect()
    gc.freeze()


def _skip_without_cuda(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` are reported as skipped, with the reason, where there is no CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="not run: needs a CUDA device"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Where several workers run tests side by side, one marked `alone` waits until no other runs, and holds them up."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with shared_machine(alone=item.get_closest_marker("alone") is not None):
        return (yield)


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


@pytest.fixture(scope="module")
def one_thread(threads_restored: None) -> None:
    """Work this small is done faster by one thread than by several that wait for each other."""
    import torch

    torch.set_num_threads(1)


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
        pytest.skip(NO_CASES)
    return SHARED_CASES


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_DATA=1 (continuous integration), a test skipped for missing data has failed."""
    report = yield
    missing = next((reason for reason in (NO_DATA, NO_CASES) if reason in str(report.longrepr)), None)
    if os.environ.get("REQUIRE_DATA") == "1" and report.skipped and missing:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {missing}; put it there, or set ALLOW_NO_DATA=1 to let such tests be skipped"
    return report
