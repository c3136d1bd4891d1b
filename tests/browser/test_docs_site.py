"""The documentation as a site: built with every link checked, searchable, and without a request to another host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.serving import free_port, plain_server
from tests.helpers.paths import REPO


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `make docs`."""
    out = tmp_path_factory.mktemp("docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out],
        cwd=REPO,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def docs_url(docs: Path) -> Iterator[str]:
    port = free_port()
    with plain_server(docs, port):
        yield f"http://127.0.0.1:{port}"


def test_every_page_of_the_project_is_in_it(docs: Path) -> None:
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.html")}
    wanted = {f"{path.stem}.html" for path in (REPO / "docs").glob("*.md")}
    cards = {f"models/{path.parent.name}.html" for path in (REPO / "models").glob("*/README.md")}

    assert wanted | cards | {"index.html", "format.html", "package.html", "changelog.html"} <= pages


def test_links_between_files_of_the_project_lead_to_pages(docs: Path) -> None:
    start = (docs / "index.html").read_text(encoding="utf-8")

    assert 'href="format.html"' in start
    assert 'href="models/tissue.html"' in start
    assert ".md" not in {word.rpartition('"')[0][-3:] for word in start.split('href="')[1:]}


def test_a_reader_finds_a_function_of_the_reference_by_searching(docs_url: str, open_page: OpenPage) -> None:
    page = open_page("/index.html", flags=NO_GPU, url=docs_url)
    page.get_by_role("textbox", name="Search").fill("save_labels")
    result = page.locator(".md-search-result__link").first
    expect(result).to_be_visible()
    result.click()

    page.wait_for_url("**/api.html*")
    expect(page.locator("#meshnet\\.scan\\.nifti\\.save_labels")).to_be_attached()
