"""Locks between the worker processes of one test run, and between test runs on one checkout."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.paths import REPO


def lock_file(name: str) -> Path:
    """A file of the temporary folder that stands for `name` in this checkout."""
    checkout = hashlib.sha256(str(REPO).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"meshnet-{checkout}-{name}.lock"


@contextlib.contextmanager
def one_process_at_a_time(name: str) -> Iterator[None]:
    """Waits until no other process of this checkout is inside the same block."""
    with lock_file(name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared_machine(*, alone: bool, name: str = "machine") -> Iterator[None]:
    """Lets tests run side by side, but a test with `alone` only while no other test runs.

    A test that waits to be alone holds the gate, so that no further test starts before it. `name` tells locks apart.
    """
    with lock_file(f"{name}-gate").open("w") as gate, lock_file(name).open("w") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
