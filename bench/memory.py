"""Sampled peak memory of a set of processes: the sum of their proportional set sizes (Linux)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Seconds between samples; shorter peaks can be missed.
INTERVAL_S = 0.2


class Peak:
    """Most bytes in use in any sample; 0 without a sample."""

    def __init__(self) -> None:
        self.bytes = 0


@contextmanager
def sampled(root: int, name: str = "") -> Iterator[Peak]:
    """Sample process `root` and its descendants whose name starts with `name` within the `with` statement."""
    peak = Peak()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            peak.bytes = max(peak.bytes, sum(_pss_bytes(pid) for pid in _family(root, name)))
            over.wait(INTERVAL_S)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _family(root: int, name: str) -> list[int]:
    """Ids of `root` and its descendants whose name starts with `name`."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text()
        except OSError:
            continue  # the process has ended
        # The name is in parentheses and may hold any character, parentheses too.
        start, end = text.index("("), text.rindex(")")
        names[int(entry.name)] = text[start + 1 : end]
        parents[int(entry.name)] = int(text[end + 2 :].split()[1])
    family = {root}
    while True:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        if not more:
            return [pid for pid in family if names.get(pid, "").startswith(name)]
        family |= more


def _pss_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
