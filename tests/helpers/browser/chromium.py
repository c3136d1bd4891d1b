"""Chromium, started with the flags that decide which backends a page finds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright

#: WebGPU on Chromium's software adapter.
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
#: WebGL2 on SwiftShader; no WebGPU adapter.
WEBGL2 = ("--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--disable-features=WebGPU")
#: Neither, not even in software: only the CPU is left.
NO_GPU = ("--disable-gpu", "--disable-3d-apis", "--disable-software-rasterizer", "--disable-features=WebGPU")

CHROMIUM = Path(os.environ.get("MESHNET_CHROMIUM", "/usr/bin/chromium"))

#: The fixture `open_page` of `tests/browser/conftest.py`.
OpenPage = Callable[..., Page]


def launch(playwright: Playwright, flags: Sequence[str]) -> Browser:
    """A headless Chromium with these flags."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--headless=new", *flags])


class Browsers:
    """At most one running browser: a call with other flags closes the one before."""

    def __init__(self, playwright: Playwright) -> None:
        self._playwright = playwright
        self._flags: tuple[str, ...] | None = None
        self._browser: Browser | None = None

    def launch(self, flags: Sequence[str]) -> Browser:
        if self._browser is None or not self._browser.is_connected() or self._flags != tuple(flags):
            self.close()
            self._browser = launch(self._playwright, flags)
            self._flags = tuple(flags)
        return self._browser

    def close(self) -> None:
        if self._browser is not None:
            self._browser.close()
        self._browser = None
