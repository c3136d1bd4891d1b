"""Chromium, started with the flags that decide which backends a page finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, ViewportSize

#: WebGPU on Chromium's software adapter.
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
#: WebGL2 on SwiftShader; no WebGPU adapter.
WEBGL2 = ("--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--disable-features=WebGPU")
#: Neither, not even in software: only the CPU is left.
NO_GPU = ("--disable-gpu", "--disable-3d-apis", "--disable-software-rasterizer", "--disable-features=WebGPU")

CHROMIUM = Path(os.environ.get("MESHNET_CHROMIUM", "/usr/bin/chromium"))

#: Size of a page in pixels, in tests and in the picture of the README.
VIEWPORT: ViewportSize = {"width": 1280, "height": 800}

#: The fixture `open_page` of `tests/browser/conftest.py`.
OpenPage = Callable[..., Page]


def launch(playwright: Playwright, flags: Sequence[str]) -> Browser:
    """A headless Chromium with these flags."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless=new", *flags])


class Browsers:
    """One running browser for each set of flags."""

    def __init__(self, playwright: Playwright) -> None:
        self._playwright = playwright
        self._running: dict[tuple[str, ...], Browser] = {}

    def launch(self, flags: Sequence[str]) -> Browser:
        """The browser with these flags, started where it does not run yet or has crashed."""
        browser = self._running.get(tuple(flags))
        if browser is None or not browser.is_connected():
            browser = self._running[tuple(flags)] = launch(self._playwright, flags)
        return browser

    def close(self) -> None:
        for browser in self._running.values():
            browser.close()
        self._running.clear()
