"""A visitor's action during other work never mixes two scans up, and gets an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.faults import open_with_fault
from tests.helpers.browser.site import (
    assert_same_labels,
    counts,
    drop,
    head,
    save,
    segment,
    status,
    wait_for,
    wait_until_listed,
    write_scan,
)
from tests.helpers.browser.visits import PATIENCE_MS

#: The page hears of a finished network three seconds late.
_SLOW_RUNS = """
const post = self.postMessage.bind(self);
self.postMessage = (message, options) => {
  const isRun = message.kind === 'reply' && message.value?.report !== undefined;
  if (isRun) setTimeout(() => { post(message, options); }, 3000);
  else post(message, options);
};
"""


@pytest.fixture
def page(open_page: OpenPage, tissue_url: str, tmp_path: Path) -> Page:
    """A page with a scan open, whose runs take a while."""
    opened = open_with_fault(open_page, tissue_url, NO_GPU, _SLOW_RUNS)
    wait_until_listed(opened, "tissue")
    drop(opened, write_scan(tmp_path / "good.nii.gz"))
    wait_for(opened, "ready")
    return opened


@pytest.mark.alone
def test_a_question_about_another_scan_is_gone_once_this_one_is_segmented(page: Page, tmp_path: Path) -> None:
    drop(page, write_scan(tmp_path / "series.nii.gz", np.stack([head(), head()[::-1]], axis=3)))
    expect(page.get_by_test_id("use-frame")).to_be_visible(timeout=PATIENCE_MS)

    page.get_by_test_id("run").click()

    expect(page.get_by_test_id("use-frame")).to_be_hidden(timeout=1000)
    wait_for(page, "done")
    expect(page.locator("#scan-summary")).to_contain_text("good.nii.gz")


@pytest.mark.alone
def test_a_file_dropped_during_a_run_is_refused_in_a_sentence_and_the_run_goes_on(page: Page, tmp_path: Path) -> None:
    segment(page)
    alone = counts(page)
    expected = save(page, "native", tmp_path)
    other = write_scan(tmp_path / "other.nii.gz", head()[::-1])

    page.get_by_test_id("run").click()
    expect(status(page)).to_have_attribute("data-state", "running", timeout=PATIENCE_MS)
    drop(page, other)

    expect(page.locator("#warnings")).to_contain_text("other.nii.gz was not opened", timeout=1000)
    expect(status(page)).to_have_attribute("data-state", "running")
    wait_for(page, "done")
    expect(page.locator("#scan-summary")).to_contain_text("good.nii.gz")
    expect(page.locator("#warnings")).to_contain_text("other.nii.gz was not opened")
    assert counts(page) == alone
    assert_same_labels(save(page, "native", tmp_path), expected)

    drop(page, other)
    expect(page.locator("#scan-summary")).to_contain_text("other.nii.gz", timeout=PATIENCE_MS)
    expect(page.locator("#warnings")).not_to_contain_text("was not opened")
