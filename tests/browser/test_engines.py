"""Every engine of ours in Chromium against PyTorch, layer by layer, and what each refuses.

One browser after the other: the GPU engines on a software adapter, the CPU engine with threads and without.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from playwright.sync_api import Page

from meshnet.model.spec import Architecture, GroupNorm
from tests.helpers.browser.chromium import NO_GPU, WEBGL2, WEBGPU, OpenPage
from tests.helpers.browser.engine_page import reload_without_isolation, run_in_page
from tests.helpers.engine_cases import Case, agreement, assert_outputs_equal, build, build_without_result

#: Sums of 27·C float32 terms in another order than PyTorch's (on the CPU through Winograd's transforms, which cost a
#: factor of a few), then at most one exp.
RELATIVE = 2e-5

#: Small, for software adapters; sides are no multiple of any tile.
GPU_CASES = (
    Case("relu", Architecture(channels=5, classes=3, dilations=(1, 2, 4, 8), activation="relu"), (13, 7, 21)),
    Case("elu", Architecture(channels=11, classes=2, dilations=(1, 16), activation="elu"), (9, 17, 7), gain=3),
    Case("gelu", Architecture(channels=3, classes=2, dilations=(2, 1), activation="gelu"), (5, 3, 9), gain=6),
    Case("gelu_tanh", Architecture(channels=3, classes=2, dilations=(2, 1), activation="gelu_tanh"), (5, 3, 9), gain=6),
    Case(
        "affine norm",
        Architecture(channels=6, classes=3, dilations=(1, 3), activation="gelu", norm=GroupNorm(affine=True)),
        (11, 9, 9),
    ),
    Case(
        "norm without bias",
        Architecture(
            channels=4, classes=2, dilations=(1, 2), activation="gelu", norm=GroupNorm(), conv_bias=False,
            classifier_bias=False,
        ),
        (7, 3, 17),
    ),
    Case("104 classes", Architecture(channels=21, classes=104, dilations=(1, 3), activation="relu"), (9, 2, 11)),
    Case(
        "two blocks of channels", Architecture(channels=18, classes=2, dilations=(1, 2), activation="elu"), (6, 2, 7)
    ),
    Case(
        "large activations, gelu_tanh",
        Architecture(channels=5, classes=3, dilations=(1, 2, 1), activation="gelu_tanh"),
        (9, 3, 8),
        gain=300,
    ),
    Case(
        "large activations, gelu",
        Architecture(channels=5, classes=3, dilations=(1, 2, 1), activation="gelu"),
        (9, 3, 8),
        gain=300,
    ),
)  # fmt: skip

#: Wider than a row of the kernel's tiles.
CPU_CASES = (
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

SMALL = Case("small", Architecture(channels=4, classes=3, dilations=(1, 3, 8, 2), activation="elu"), (10, 9, 23))
#: One z-plane of SMALL's activations, as each GPU engine stores it: WebGPU's bindings are aligned to 256 bytes.
PLANE_BYTES = {"webgpu": 1536, "webgl2": 4 * 10 * 9 * 4}
#: The largest buffer that does not depend on the volume: WebGPU's parameters of the dispatches to come.
FIXED_BYTES = {"webgpu": 2**16, "webgl2": 0}

GPU_LONG = Case(
    "long", Architecture(channels=8, classes=2, dilations=(1, 2, 4, 8) * 3, activation="relu"), (96, 96, 96)
)
CPU_LONG = Case(
    "long",
    Architecture(channels=16, classes=2, dilations=(1, 2, 4, 8, 16, 16, 8, 4, 2) * 4, activation="elu"),
    (128, 128, 128),
)


@dataclass(frozen=True)
class Engine:
    """An engine and the browser it runs in. `long` takes seconds, for runs that are cancelled after `cancel_ms`."""

    backend: str
    flags: tuple[str, ...]
    cases: tuple[Case, ...]
    long: Case
    cancel_ms: int
    isolated: bool = True


ENGINES = {
    "webgpu": Engine("webgpu", WEBGPU, GPU_CASES, GPU_LONG, 1500),
    "webgl2": Engine("webgl2", WEBGL2, GPU_CASES, GPU_LONG, 1500),
    "cpu": Engine("cpu", NO_GPU, CPU_CASES, CPU_LONG, 700),
    "cpu, one thread": Engine("cpu", NO_GPU, CPU_CASES, CPU_LONG, 700, isolated=False),
}


@pytest.fixture(scope="module", params=ENGINES.values(), ids=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each in turn; of module scope, so that a browser is started once for all tests of an engine."""
    given: Engine = request.param
    return given


def only(*names: str) -> pytest.MarkDecorator:
    """Marks a test for some of the engines."""
    return pytest.mark.parametrize("engine", [ENGINES[n] for n in names], ids=names, indirect=True, scope="module")


@pytest.fixture
def page(open_page: OpenPage, engine: Engine) -> Page:
    """The self-test page in the engine's browser."""
    page = open_page("/selftest.html", flags=engine.flags)
    if not engine.isolated:
        reload_without_isolation(page)
    return page


def test_every_layer_and_label_equals_pytorch(page: Page, engine: Engine, subtests: pytest.Subtests) -> None:
    for case in engine.cases:
        with subtests.test(case.name):
            built = build(case)

            layers = run_in_page(page, engine.backend, built, inspect=True)
            fused = run_in_page(page, engine.backend, built, probabilities=True)

            assert layers["error"] is None
            assert_outputs_equal(layers["outputs"], built.outputs, relative=RELATIVE)
            assert fused["error"] is None
            decided = built.margin > 1e-4  # elsewhere two classes tie to rounding
            assert agreement(fused["labels"][decided], built.labels[decided]) == 1
            assert agreement(layers["labels"][decided], built.labels[decided]) == 1
            assert agreement(layers["labels"], fused["labels"]) >= 0.999
            assert np.abs(fused["probabilities"] - 255 * built.probabilities).max() <= 1


def test_a_run_without_probabilities_has_the_same_labels_bit_by_bit(page: Page, engine: Engine) -> None:
    built = build(engine.cases[0])

    plain = run_in_page(page, engine.backend, built)
    with_probabilities = run_in_page(page, engine.backend, built, probabilities=True)

    assert plain["probabilities"] is None
    np.testing.assert_array_equal(plain["labels"], with_probabilities["labels"])
    assert plain["largestBufferBytes"] <= with_probabilities["largestBufferBytes"]


def test_instance_norm_survives_a_mean_far_from_zero(page: Page, engine: Engine) -> None:
    """A mean 1000 times the deviation: E[x²] − E[x]² in float32 would leave no digit of the variance."""
    architecture = Architecture(channels=3, classes=2, dilations=(1,), activation="elu", norm=GroupNorm())
    built = build(Case("offset", architecture, (12, 10, 9), offset=300))

    got = run_in_page(page, engine.backend, built, inspect=True)

    assert got["error"] is None
    # 300 is stored to 2^-15; the deviation is about 0.2, so 1e-3 of the result is all that float32 holds.
    assert_outputs_equal(got["outputs"], built.outputs, relative=2e-3)


@pytest.mark.alone
def test_cancel_takes_effect_within_a_second_and_the_next_run_is_right(page: Page, engine: Engine) -> None:
    long = build_without_result(engine.long)

    got = run_in_page(page, engine.backend, long, cancelAfterMs=engine.cancel_ms)

    assert got["error"] is not None
    assert got["error"].startswith("AbortError")
    assert got["cancelledWithinMs"] < 1000
    assert np.all(np.diff(got["progress"]) >= 0)
    built = build(SMALL)
    again = run_in_page(page, engine.backend, built)
    assert again["error"] is None
    decided = built.margin > 1e-4
    assert agreement(again["labels"][decided], built.labels[decided]) == 1
    assert again["progress"][-1] == 1


def test_a_volume_of_the_wrong_length_is_refused(page: Page, engine: Engine) -> None:
    got = run_in_page(page, engine.backend, replace(build(SMALL), dims=(10, 9, 22)))

    assert "1980 values, got 2070" in got["error"]


@only("webgpu", "webgl2")
@pytest.mark.parametrize("planes", [1, 2, 4])
def test_small_buffers_give_the_same_labels(page: Page, engine: Engine, planes: int) -> None:
    built = build(SMALL)
    limit = planes * PLANE_BYTES[engine.backend]

    got = run_in_page(page, engine.backend, built, maxBufferBytes=limit)

    assert got["error"] is None
    assert got["largestBufferBytes"] <= max(limit, FIXED_BYTES[engine.backend])
    decided = built.margin > 1e-4
    assert agreement(got["labels"][decided], built.labels[decided]) == 1
    assert np.all(np.diff(got["progress"]) >= 0)
    assert got["progress"][-1] == 1


@only("webgpu", "webgl2")
def test_a_plane_that_does_not_fit_is_refused_with_both_numbers(page: Page, engine: Engine) -> None:
    got = run_in_page(page, engine.backend, build(SMALL), maxBufferBytes=1024)

    assert f"takes {PLANE_BYTES[engine.backend]} bytes" in got["error"]
    assert "allows 1024" in got["error"]


def test_the_software_adapter_is_known_as_such(open_page: OpenPage) -> None:
    page = open_page("/selftest.html", flags=WEBGPU)

    probe = page.evaluate("window.meshnetEngines.probe('webgpu')")

    assert probe["available"] is True
    assert probe["software"] is True
    assert "swiftshader" in (probe["device"] + str(probe["details"])).lower()


def test_a_volume_beyond_webassembly_s_memory_is_refused_with_the_bytes(open_page: OpenPage) -> None:
    architecture = Architecture(channels=512, classes=2, dilations=(1,), activation="relu")
    built = build_without_result(Case("too wide", architecture, (150, 128, 128)))

    got = run_in_page(open_page("/selftest.html", flags=NO_GPU), "cpu", built)

    assert "512 channels need 50" in got["error"]
    assert "WebAssembly allows 4294901760" in got["error"]


def test_every_layer_is_timed_and_the_times_add_up_to_the_run(page: Page, engine: Engine) -> None:
    got = run_in_page(page, engine.backend, build(SMALL))

    names = [timing["name"] for timing in got["timings"]]
    assert names == ["prepare", *(f"layers.{i}" for i in range(4)), "classifier"]
    assert all(timing["milliseconds"] >= 0 for timing in got["timings"])
    assert 0 < sum(timing["milliseconds"] for timing in got["timings"]) <= got["milliseconds"]


def test_threads_are_used_where_the_page_is_isolated(open_page: OpenPage) -> None:
    page = open_page("/selftest.html", flags=NO_GPU)
    with_threads = page.evaluate("window.meshnetEngines.probe('cpu')")
    reload_without_isolation(page)
    without = page.evaluate("window.meshnetEngines.probe('cpu')")

    assert with_threads["available"] is True
    assert with_threads["details"]["cross-origin isolated"] == "yes"
    assert without["details"] == {**with_threads["details"], "threads": 1, "cross-origin isolated": "no"}


@pytest.mark.parametrize(("backend", "reason"), [("webgpu", "WebGPU: "), ("webgl2", "WebGL2: no context")])
def test_without_a_gpu_the_reason_is_a_sentence(open_page: OpenPage, backend: str, reason: str) -> None:
    page = open_page("/selftest.html", flags=NO_GPU)

    probe = page.evaluate("name => window.meshnetEngines.probe(name)", backend)

    assert probe["available"] is False
    assert probe["reason"].startswith(reason)
