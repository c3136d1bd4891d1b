"""`.ci/run` counts missing data as a failure, and its log ends with pytest's summary."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import REPO

USES_DATA = "def test_needs_the_scans(shared_data):\n    assert shared_data.is_dir()\n"


@pytest.fixture
def project_without_data(tmp_path: Path) -> Path:
    """A small project with the real conftest, and no data folder beside it."""
    tests = tmp_path / "project" / "tests"
    helpers = [f"helpers/{name}.py" for name in ("__init__", "paths", "locks", "order")]
    for name in ("__init__.py", "conftest.py", *helpers):
        (tests / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / "tests" / name, tests / name)
    (tests / "test_scans.py").write_text(USES_DATA)
    return tmp_path / "project"


def run_pytest(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("REQUIRE_DATA", "ALLOW_NO_DATA")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests"],
        cwd=project,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_data_skips_a_test_on_a_developers_machine(project_without_data: Path) -> None:
    done = run_pytest(project_without_data)
    assert done.returncode == 0
    assert "1 skipped" in done.stdout


def test_missing_data_fails_the_test_where_data_is_required(project_without_data: Path) -> None:
    done = run_pytest(project_without_data, REQUIRE_DATA="1")
    assert done.returncode == 1
    assert "ALLOW_NO_DATA=1" in done.stdout


def test_missing_cases_fail_the_test_as_missing_data_does(project_without_data: Path) -> None:
    (project_without_data / "tests" / "test_scans.py").write_text(USES_DATA.replace("shared_data", "shared_cases"))
    done = run_pytest(project_without_data, REQUIRE_DATA="1")
    assert done.returncode == 1
    assert "needs ../shared/cases" in done.stdout


@pytest.mark.parametrize(("allow", "outcome"), [("1", "1 skipped"), ("", "1 error")])
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_ci_log_ends_with_pytests_summary_whatever_the_outcome(
    project_without_data: Path, allow: str, outcome: str
) -> None:
    (project_without_data / ".ci").mkdir()
    shutil.copy(REPO / ".ci" / "run", project_without_data / ".ci" / "run")
    pytest_command = f"{sys.executable} -m pytest -p no:cacheprovider -n 2 --dist loadfile tests"
    (project_without_data / "Makefile").write_text(f"test:\n\t@{pytest_command}\n")
    environment = {k: v for k, v in os.environ.items() if k != "REQUIRE_DATA"}
    done = subprocess.run(
        ["bash", ".ci/run"],
        cwd=project_without_data,
        env={**environment, "ALLOW_NO_DATA": allow},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == (allow == "1")
    assert re.search(rf"{outcome}.* in [0-9.]+s", done.stdout.strip().splitlines()[-1])
