"""Files that a test hands to scripts in a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import ElementHandle, Page


def file_input(page: Page, files: Sequence[Path]) -> ElementHandle:
    """An input element outside the document that holds these files.

    The browser reads them from the disk. As arguments of a script they would be copied as text several times, which
    takes a minute for a whole scan.
    """
    element = page.evaluate_handle(
        "() => Object.assign(document.createElement('input'), { type: 'file', multiple: true })"
    ).as_element()
    assert element is not None
    element.set_input_files(list(files))
    return element
