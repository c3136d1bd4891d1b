"""Commands that tests run in a process of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def begun(module: str, *arguments: str, log: Path) -> Iterator[psutil.Popen]:
    """A command that runs meanwhile, and is over at the end whatever happens."""
    with log.open("w") as file:
        process = psutil.Popen([sys.executable, "-m", module, *arguments], stdout=file, stderr=file)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
