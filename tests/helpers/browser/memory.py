"""Memory that a page and its workers hold, exact after a garbage collection."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page


def held_bytes(page: Page) -> int:
    """Bytes of JavaScript objects, array buffers and WebAssembly of the page and all its workers.

    The least of three measurements within seconds: the first sometimes counts buffers that are free by the second.
    """
    measured = []
    for _ in range(3):
        measured.append(_held_bytes_now(page))
        page.wait_for_timeout(700)
    return min(measured)


def _held_bytes_now(page: Page) -> int:
    control: Any = page.context.new_cdp_session(page)
    sessions: list[str] = []
    answers: dict[tuple[str, int], dict[str, Any]] = {}

    def attached(event: dict[str, Any]) -> None:
        sessions.append(event["sessionId"])

    def answered(event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            answers[event["sessionId"], message["id"]] = message["result"]

    control.on("Target.attachedToTarget", attached)
    control.on("Target.receivedMessageFromTarget", answered)
    control.send("Target.setAutoAttach", {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False})
    page.wait_for_timeout(500)
    for session in sessions:
        for number, method in enumerate(("HeapProfiler.collectGarbage", "Runtime.getHeapUsage")):
            message = json.dumps({"id": number, "method": method})
            control.send("Target.sendMessageToTarget", {"sessionId": session, "message": message})
    deadline = time.monotonic() + 120
    while len(answers) < 2 * len(sessions):
        assert time.monotonic() < deadline, "a worker does not say what memory it holds"
        page.wait_for_timeout(100)
    control.send("HeapProfiler.collectGarbage")
    usages = [control.send("Runtime.getHeapUsage"), *(answers[session, 1] for session in sessions)]
    control.detach()
    return sum(int(usage["usedSize"] + usage["backingStorageSize"]) for usage in usages)


def resident_bytes(page: Page) -> int:
    """Resident memory of the largest renderer process of the page's browser: the page with its workers."""
    browser = page.context.browser
    assert browser is not None
    control: Any = browser.new_browser_cdp_session()
    processes = control.send("SystemInfo.getProcessInfo")["processInfo"]
    control.detach()
    return max(_resident_bytes(process["id"]) for process in processes if process["type"] == "renderer")


def _resident_bytes(pid: int) -> int:
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        if line.startswith("VmRSS:")
    ]
    return int(line.split()[1]) * 1024
