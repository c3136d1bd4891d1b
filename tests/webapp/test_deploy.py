"""The files of deploy/ pass their linters and use arguments that the commands have."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import REPO
from webapp.cli import parser

DEPLOY = REPO / "deploy"
KIOSK_ADDRESS = "http://127.0.0.1:8000"


def run_tool(name: str, *arguments: str) -> None:
    """Run a linter installed beside Python; fails the test with its output."""
    tool = Path(sys.executable).parent / name
    done = subprocess.run([tool, *arguments], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[method-assign, assignment]
    unit.read(DEPLOY / "meshnet.service")
    return unit["Service"]


def test_the_dockerfile_passes_its_linter() -> None:
    run_tool("hadolint", "deploy/Dockerfile")


def test_the_image_starts_the_server_with_arguments_it_knows() -> None:
    entry = re.search(r"^ENTRYPOINT (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert entry is not None
    command, *arguments = json.loads(entry[1])
    assert command == "meshnet-serve"
    assert parser().parse_args(arguments).port == 8000


def test_the_image_contains_everything_the_wheel_is_built_from() -> None:
    kept = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"pyproject.toml", "README.md", "LICENSE", "hatch_build.py", "constraints.txt"} <= kept
    assert {"meshnet", "export", "webapp", "models", "static"} <= kept


def test_the_scripts_pass_their_linter() -> None:
    run_tool("shellcheck", "deploy/kiosk/meshnet-kiosk", ".ci/run")


def test_the_service_starts_a_kiosk_with_arguments_the_server_knows() -> None:
    command, *arguments = shlex.split(service()["ExecStart"])
    assert Path(command).name == "meshnet-serve"
    args = parser().parse_args(arguments)
    assert args.kiosk
    assert f"http://{args.host}:{args.port}" == KIOSK_ADDRESS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_accepts_the_service(tmp_path: Path) -> None:
    unit = (DEPLOY / "meshnet.service").read_text().replace("/opt/meshnet/bin/meshnet-serve", sys.executable)
    (tmp_path / "meshnet.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "meshnet.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "meshnet.service:" not in done.stderr


def test_the_browser_policy_allows_the_kiosk_page_alone_and_no_downloads() -> None:
    policy = json.loads((DEPLOY / "kiosk" / "chromium-policy.json").read_text())
    assert "*" in policy["URLBlocklist"]
    assert policy["URLAllowlist"] == policy["FileSystemWriteAskForUrls"] == [KIOSK_ADDRESS]
    assert policy["DownloadRestrictions"] == 3


def test_the_launcher_refuses_to_start_without_the_policy() -> None:
    if Path("/etc/chromium/policies/managed/meshnet.json").exists():
        pytest.skip("this machine is a kiosk")
    done = subprocess.run([DEPLOY / "kiosk" / "meshnet-kiosk"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "chromium-policy.json" in done.stderr
