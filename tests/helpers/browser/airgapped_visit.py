"""Run inside a network namespace without any route: serve and segment with an installed environment.

`python -m tests.helpers.browser.airgapped_visit COMMANDS WORK_DIR` prints the listed models and the volumes table as
JSON. COMMANDS is the environment's folder of commands. The scan is segmented with a small model that the visitor opens:
a model that ships would take most of the test's time.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tests.helpers.browser.chromium import NO_GPU
from tests.helpers.browser.visits import PATIENCE_MS, segment, wait_for_offline, write_models, write_scan

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


def main(commands: Path, work: Path) -> None:
    bring_loopback_up()
    require_no_network()
    own = write_models(work / "models", "small") / "small"
    # Not the checkout's: neither its modules nor its built site.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with subprocess.Popen(
        [commands / "meshnet-serve", "--port", "0"], cwd=work, env=environment, stdout=subprocess.PIPE, text=True
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
                options = page.get_by_test_id("model").locator("option").all()
                models = [option.get_attribute("value") for option in options]
                page.get_by_test_id("file").set_input_files([own / "model.json", own / "weights.safetensors"])
                expect(page.locator("#model-facts")).to_contain_text("your own model", timeout=PATIENCE_MS)
                segment(page, write_scan(work / "scan.nii.gz"))
                rows = page.get_by_test_id("volumes").locator("tbody tr").all_inner_texts()
                print(json.dumps({"models": models, "rows": rows}))
                browser.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
