"""Every option of every command is documented where a reader looks for it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
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
