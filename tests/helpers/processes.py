"""Commands that tests run in separate processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.helpers.paths import script


@contextmanager
def begun(command: str, *arguments: str, log: Path) -> Iterator[psutil.Popen]:
    """Runs an installed command line beside the test; ends it when the block ends."""
    with log.open("w") as file:
        process = psutil.Popen([script(command), *arguments], stdout=file, stderr=file)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
