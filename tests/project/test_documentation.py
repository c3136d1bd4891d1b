"""Every option of every command is documented where a reader looks for it, and what is shown can be run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from meshnet.train.cli import compose_all
from meshnet.train.config import ConfigError
from tests.helpers.paths import REPO

COMMANDS: dict[str, str] = {
    **tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["scripts"],
    "python -m bench": "bench.cli:main",  # a tool of the checkout, not of the installed package
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_on_the_page_that_documents_it(command: str) -> None:
    module, function = COMMANDS[command].split(":")
    program = f"import sys; from {module} import {function}; sys.argv = [{command!r}, '--help']; {function}()"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    options = set(re.findall(r"^ {2,6}(?:-\w(?: \S+)?, )?(--[a-z][a-z-]+)", shown.stdout, re.MULTILINE)) - {"--help"}
    pages = {
        page: page.read_text()
        for page in [*sorted((REPO / "docs").glob("*.md")), REPO / "export" / "FORMAT.md"]
        if page.exists()
    }
    missing = {
        page.name: sorted(option for option in options if f"{option}" not in text)
        for page, text in pages.items()
        if re.search(rf"^ {{4}}{command} ", text, re.MULTILINE)
    }
    assert missing, f"no page in docs/ shows how {command} is called (a line of four spaces, then the command)"
    assert [] in missing.values(), f"options of {command} that are documented nowhere: {missing}"


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("meshnet-")])
def test_a_console_script_has_no_second_way_in(command: str) -> None:
    module = COMMANDS[command].split(":")[0]
    assert "__main__" not in (REPO / f"{module.replace('.', '/')}.py").read_text()


def test_every_training_command_that_is_shown_can_be_composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for prepared in ("OUT", "prepared", "toy-prepared"):  # what the pages call a folder of meshnet-prepare
        (tmp_path / prepared).mkdir()
    (tmp_path / "models").symlink_to(REPO / "models")
    monkeypatch.chdir(tmp_path)
    shown = [
        (page.name, command)
        for page in [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
        for command in re.findall(r"^ {4}meshnet-train ([^#\n]*)", page.read_text(), re.MULTILINE)
    ]
    assert len(shown) >= 5
    for page, command in shown:
        overrides = [word for word in command.split() if not word.startswith(("@", "--"))]
        try:
            compose_all(overrides)
        except ConfigError as error:
            pytest.fail(f"{page}: meshnet-train {command}: {error}")
