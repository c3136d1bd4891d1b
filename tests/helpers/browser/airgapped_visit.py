"""Run inside a network namespace without any route: install from wheels, serve, segment.

`python -m tests.helpers.browser.airgapped_visit WHEELS WORK_DIR` prints the volumes table as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import venv
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.helpers.browser.chromium import NO_GPU
from tests.helpers.browser.visits import segment, wait_for_offline, write_scan

SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


def bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))


def require_no_network() -> None:
    """Raise unless an address outside this machine has no route (192.0.2.0/24 is for documentation)."""
    try:
        socket.create_connection(("192.0.2.1", 80), timeout=5).close()
    except OSError as error:
        if error.errno == 101:  # ENETUNREACH
            return
        raise
    raise RuntimeError("this machine has a network")


def main(wheels: Path, work: Path) -> None:
    bring_loopback_up()
    require_no_network()
    venv.create(work / "venv", with_pip=True)
    binaries = work / "venv" / "bin"
    install = [binaries / "python", "-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels, "meshnet"]
    subprocess.run(install, check=True, cwd=work, stdout=sys.stderr)
    # Not the checkout's: neither its modules nor its built site.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with subprocess.Popen(
        [binaries / "meshnet-serve", "--port", "0"], cwd=work, env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[1]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=os.environ.get("MESHNET_CHROMIUM", "/usr/bin/chromium"),
                    args=["--no-sandbox", "--headless=new", *NO_GPU],
                )
                page = browser.new_page()
                page.goto(f"{url}/?backend=cpu")
                wait_for_offline(page, "ready")
                segment(page, write_scan(work / "scan.nii.gz"))
                rows = page.get_by_test_id("volumes").locator("tbody tr").all_inner_texts()
                print(json.dumps(rows))
                browser.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
