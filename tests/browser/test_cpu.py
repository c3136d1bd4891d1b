"""The CPU engine in Chromium against PyTorch: layer by layer, with and without threads, and whole scans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, Route

from export.import_model import import_model
from export.importers.labels import read_labels
from export.published import PUBLISHED
from meshnet.checkpoint import save_checkpoint
from meshnet.normalize import normalize
from meshnet.spec import Architecture, GroupNorm, MinMax
from tests.browser.conftest import NO_GPU, OpenPage
from tests.browser.engine_page import run_in_page
from tests.engine_cases import (
    BuiltCase,
    Case,
    agreement,
    assert_outputs_equal,
    build,
    build_without_result,
    smallest_dice,
)

#: Sums of 27·C float32 terms in another order than PyTorch's, and Winograd's transforms, which cost a factor of a few.
RELATIVE = 2e-5

CASES = (
    Case("relu", Architecture(channels=5, classes=3, dilations=(1, 2, 4, 8, 16), activation="relu"), (67, 21, 40)),
    Case("elu", Architecture(channels=11, classes=2, dilations=(1, 16), activation="elu"), (9, 18, 7), gain=3),
    Case("gelu", Architecture(channels=3, classes=2, dilations=(2, 1), activation="gelu"), (45, 7, 9), gain=6),
    Case(
        "gelu_tanh", Architecture(channels=3, classes=2, dilations=(2, 1), activation="gelu_tanh"), (45, 7, 9), gain=6
    ),
    Case("odd dilations", Architecture(channels=4, classes=2, dilations=(3, 5, 7), activation="relu"), (31, 17, 13)),
    Case(
        "dilation beyond the volume",
        Architecture(channels=5, classes=2, dilations=(16, 64), activation="relu"),
        (9, 7, 8),
    ),
    Case(
        "affine norm",
        Architecture(channels=6, classes=3, dilations=(1, 3), activation="gelu", norm=GroupNorm(affine=True)),
        (41, 17, 9),
    ),
    Case(
        "norm without bias",
        Architecture(
            channels=4,
            classes=2,
            dilations=(1, 2),
            activation="gelu",
            norm=GroupNorm(),
            conv_bias=False,
            classifier_bias=False,
        ),
        (7, 11, 17),
    ),
    Case("104 classes", Architecture(channels=21, classes=104, dilations=(1, 4), activation="relu"), (33, 9, 11)),
    Case("30 channels", Architecture(channels=30, classes=18, dilations=(1, 2), activation="elu"), (32, 10, 9)),
    Case(
        "large activations, elu",
        Architecture(channels=5, classes=3, dilations=(1, 2, 1), activation="elu"),
        (29, 7, 8),
        gain=300,
    ),
    Case(
        "large activations, gelu",
        Architecture(channels=5, classes=3, dilations=(1, 2, 1), activation="gelu"),
        (29, 7, 8),
        gain=300,
    ),
    Case(
        "large activations, gelu_tanh",
        Architecture(channels=5, classes=3, dilations=(1, 2, 1), activation="gelu_tanh"),
        (29, 7, 8),
        gain=300,
    ),
)


def _isolated(open_page: OpenPage) -> Page:
    return open_page("/selftest.html", flags=NO_GPU)


def _not_isolated(open_page: OpenPage) -> Page:
    """The page as a server without the isolation headers would give it: no shared memory, one thread."""
    page = open_page("/selftest.html", flags=NO_GPU)

    def without_isolation(route: Route) -> None:
        response = route.fetch()
        headers = {name: value for name, value in response.headers.items() if not name.startswith("cross-origin-")}
        route.fulfill(response=response, headers=headers)

    page.route("**/selftest.html", without_isolation)
    page.reload(wait_until="load")
    page.unroute("**/selftest.html")
    return page


PAGES = {"threads": _isolated, "one thread": _not_isolated}


@pytest.fixture(params=list(PAGES))
def page(request: pytest.FixtureRequest, open_page: OpenPage) -> Page:
    """The self-test page, cross-origin isolated and not."""
    opened: Page = PAGES[request.param](open_page)
    return opened


def test_threads_are_used_where_the_page_is_isolated(open_page: OpenPage) -> None:
    with_threads = _isolated(open_page).evaluate("window.meshnetEngines.probe('cpu')")
    without = _not_isolated(open_page).evaluate("window.meshnetEngines.probe('cpu')")

    assert with_threads["available"] is True
    assert with_threads["details"]["cross-origin isolated"] == "yes"
    assert without["details"] == {**with_threads["details"], "threads": 1, "cross-origin isolated": "no"}


def test_every_layer_and_label_equals_pytorch(page: Page) -> None:
    for case in CASES:
        built = build(case)

        layers = run_in_page(page, "cpu", built, inspect=True)
        fused = run_in_page(page, "cpu", built, margin=True)

        assert layers["error"] is None, case
        assert_outputs_equal(layers["outputs"], built.outputs, relative=RELATIVE)
        assert fused["error"] is None, case
        decided = built.margin > 1e-4  # elsewhere two classes tie to rounding
        assert agreement(fused["labels"][decided], built.labels[decided]) == 1, case
        assert agreement(layers["labels"], fused["labels"]) >= 0.999, case
        assert np.abs(fused["margin"] - 255 * built.margin).max() <= 1, case
        assert [timing["name"] for timing in fused["timings"]][-1] == "classifier"


def test_instance_norm_survives_a_mean_far_from_zero(page: Page) -> None:
    """A mean 1000 times the deviation: E[x²] − E[x]² in float32 would leave no digit of the variance."""
    a = Architecture(channels=3, classes=2, dilations=(1,), activation="elu", norm=GroupNorm())
    built = build(Case("offset", a, (12, 10, 9), offset=300))

    got = run_in_page(page, "cpu", built, inspect=True)

    assert got["error"] is None
    # 300 is stored to 2^-15; the deviation is about 0.2, so 1e-3 of the result is all that float32 holds.
    assert_outputs_equal(got["outputs"], built.outputs, relative=2e-3)


SMALL = Case("small", Architecture(channels=4, classes=3, dilations=(1, 3, 8, 2), activation="elu"), (10, 9, 23))


def test_cancel_takes_effect_within_a_second_and_the_next_run_is_right(page: Page) -> None:
    a = Architecture(channels=16, classes=2, dilations=(1, 2, 4, 8, 16, 16, 8, 4, 2) * 4, activation="elu")
    long = build_without_result(Case("long", a, (128, 128, 128)))

    got = run_in_page(page, "cpu", long, cancelAfterMs=700)

    assert got["error"] is not None
    assert got["error"].startswith("AbortError")
    assert got["cancelledWithinMs"] < 1000
    assert np.all(np.diff(got["progress"]) >= 0)
    built = build(SMALL)
    again = run_in_page(page, "cpu", built)
    assert again["error"] is None
    decided = built.margin > 1e-4
    assert agreement(again["labels"][decided], built.labels[decided]) == 1


def test_a_volume_of_the_wrong_length_is_refused(page: Page) -> None:
    got = run_in_page(page, "cpu", replace(build(SMALL), dims=(10, 9, 22)))

    assert "expected 1980 values, got 2070" in got["error"]


def test_a_volume_beyond_webassembly_s_memory_is_refused_with_the_bytes(open_page: OpenPage) -> None:
    a = Architecture(channels=512, classes=2, dilations=(1,), activation="relu")
    built = build_without_result(Case("too wide", a, (150, 128, 128)))

    got = run_in_page(_isolated(open_page), "cpu", built)

    assert "512 channels need 50" in got["error"]
    assert "WebAssembly allows 4294901760" in got["error"]


def _published(shared_data: Path, folder: str, scan: str, models: Path) -> BuiltCase:
    """A published model and a conformed scan, normalised, at full size."""
    published = next(entry for entry in PUBLISHED if entry.folder == folder)
    source = shared_data / "models" / folder
    answers = replace(published.answers, id=published.id)
    if published.labels_file is not None:
        answers = replace(answers, labels=read_labels(source / published.labels_file))
    imported = import_model(source, answers)
    save_checkpoint(models, imported.spec, imported.weights)
    volume = np.asanyarray(nib.load(shared_data / "scans" / f"{scan}.nii.gz").dataobj)
    image = normalize(volume, MinMax()).transpose(2, 1, 0)[None]
    weights = (models / "weights.safetensors").read_bytes()
    return BuiltCase((256, 256, 256), (models / "model.json").read_text(encoding="utf-8"), weights, image)


def _expected(shared_data: Path, scan: str, folder: str) -> NDArray[np.uint8]:
    return np.asarray(nib.load(shared_data / "expected" / f"{scan}__{folder}.nii.gz").dataobj, np.uint8).transpose(
        2, 1, 0
    )


@pytest.mark.parametrize(
    ("folder", "scan"),
    [("brainchop_model5_gw_ae", "t1_crop"), ("brainchop_t2_lesion", "M2265_T2w")],
)
def test_a_whole_scan_gets_the_expected_labels(
    shared_data: Path, tmp_path: Path, open_page: OpenPage, folder: str, scan: str
) -> None:
    built = _published(shared_data, folder, scan, tmp_path)

    got = run_in_page(_isolated(open_page), "cpu", built)

    assert got["error"] is None
    expected = _expected(shared_data, scan, folder)
    assert agreement(got["labels"], expected) >= 0.9999
    assert smallest_dice(got["labels"], expected) >= 0.999
    channels = {"brainchop_model5_gw_ae": 5, "brainchop_t2_lesion": 11}[folder]
    # one activation volume, the labels, and the ring of staged planes
    assert got["peakBytes"] < 1.1 * channels * 4 * 256**3
