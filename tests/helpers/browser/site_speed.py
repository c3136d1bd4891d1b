"""Built sites (static/dist) in one browser, so that an older one is measured beside the present one."""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import uvicorn
from playwright.sync_api import Page, sync_playwright

from tests.helpers.bright_model import write_bright_model
from tests.helpers.browser.chromium import VIEWPORT, WEBGL2, launch
from tests.helpers.browser.serving import free_port
from tests.helpers.browser.site import wait_until_listed
from tests.helpers.browser.visits import PATIENCE_MS
from webapp.app import create_app


def parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("sites", nargs="+", metavar="NAME=FOLDER", help="name and folder of a built site")
    return parser


def write_head(path: Path, size: int) -> Path:
    """A head of 200 mm with two bright balls, `size`³ voxels on a grid of 256 mm."""
    mm = 256 / size
    i, j, k = (np.indices((size,) * 3) - size / 2) * mm
    data = np.where(i**2 + j**2 + k**2 < 100**2, 90, 0).astype(np.uint8)
    for centre, radius in (((-30, 10, 0), 30), ((45, -20, 5), 15)):
        data[(i - centre[0]) ** 2 + (j - centre[1]) ** 2 + (k - centre[2]) ** 2 < radius**2] = 250
    nib.save(nib.Nifti1Image(data, np.diag([mm, mm, mm, 1.0])), path)
    return path


def for_each_site(sites: list[str], measure: Callable[[Page, str, Path], None]) -> None:
    """Calls `measure` with a page that lists the model *bright*, the site's name and a folder for files."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        work = Path(folder)
        write_bright_model(work / "models" / "bright", id="bright", name="bright")
        browser = launch(playwright, WEBGL2)
        for name, site in (site.split("=", 1) for site in sites):
            with served(Path(site), work / "models") as url:
                page = browser.new_page(viewport=VIEWPORT)
                page.set_default_timeout(PATIENCE_MS)
                page.goto(f"{url}/?backend=cpu")
                wait_until_listed(page, "bright")
                measure(page, name, work)
                page.close()


@contextmanager
def served(site: Path, models: Path) -> Iterator[str]:
    """The address of the site, served by a thread of this process."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app([models], site=site), port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
