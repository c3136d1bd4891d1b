"""The compiled CPU kernel gives PyTorch's numbers, layer by layer, with every kind of vectors this CPU has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load

from meshnet.infer.kernel.build import build
from meshnet.infer.kernel.library import Kernel, KernelMissingError, load_all_kernels, load_kernel
from meshnet.infer.kernel.plan import ACTIVATIONS, X_FASTEST, Z_FASTEST, plan_graph
from meshnet.infer.kernel.run import run_cpu
from meshnet.infer.probabilities import quantise
from meshnet.model.graph import Graph, Layer, build_graph
from meshnet.model.spec import Architecture, BatchNorm, GroupNorm, parse_spec
from tests.helpers import engine_cases
from tests.helpers.engine_cases import F32, Case, agreement, assert_outputs_equal, smallest_dice

PAPER = (1, 2, 4, 8, 16, 16, 8, 4, 2)
#: float32 through up to nine layers: Winograd's transforms cost a factor of a few over direct sums; PyTorch rounds too.
RELATIVE = 1e-5


def a_case(
    name: str, dims: tuple[int, int, int], *, gain: float = 1.0, offset: float = 0.0, **architecture: object
) -> Case:
    fields: dict[str, object] = {"channels": 5, "classes": 3, "dilations": (1, 2, 4), "activation": "relu"}
    return Case(name, Architecture.model_validate(fields | architecture), dims, gain=gain, offset=offset)


# dims are x, y, z; rows (along z) of 64 and more have Winograd layers at the paper's dilations.
CASES = [
    a_case("5 channels, the paper's dilations", (18, 11, 64), dilations=PAPER),
    a_case("11 channels, ELU", (9, 10, 64), channels=11, activation="elu", dilations=(1, 16, 2)),
    a_case("16 channels, GELU", (5, 9, 48), channels=16, activation="gelu", dilations=(1, 4, 8)),
    a_case("16 channels, both axes, the paper's dilations", (19, 34, 64), channels=16, dilations=PAPER),
    a_case("8 channels, both axes, odd sizes", (11, 19, 39), channels=8, dilations=(1, 2, 1)),
    a_case("9 channels, both axes, norm", (13, 18, 40), channels=9, activation="gelu", norm=GroupNorm(affine=True)),
    a_case("32 channels, both axes", (6, 9, 40), channels=32, dilations=(1, 1)),
    a_case("26 channels, BatchNorm", (6, 7, 32), channels=26, norm=BatchNorm()),
    a_case("30 channels, 18 classes", (5, 8, 40), channels=30, classes=18, activation="elu"),
    a_case("104 classes", (5, 6, 35), channels=21, classes=104, dilations=(1, 2)),
    a_case("an odd size, no conv bias", (7, 11, 37), channels=4, conv_bias=False, classifier_bias=False),
    a_case("rows of one voxel", (6, 5, 1), channels=2, dilations=(1, 2)),
    a_case("one plane", (1, 17, 19), channels=3, dilations=(1, 4)),
    a_case("dilations no vector fits", (15, 13, 29), channels=3, dilations=(3, 5, 6, 7)),
    a_case("a dilation larger than the volume", (9, 10, 12), dilations=(16, 64, 7)),
    a_case("dilations of 4 times an odd number", (6, 5, 96), channels=6, dilations=(12, 20, 8)),
    a_case("norm where tiles fill the rows", (6, 18, 256), norm=GroupNorm(affine=True), dilations=(1, 4, 16)),
    a_case("tanh GELU", (5, 9, 32), activation="gelu_tanh", dilations=(2, 1)),
    a_case("instance norm, GELU", (9, 12, 41), activation="gelu", norm=GroupNorm(), dilations=(1, 2, 4, 3)),
    a_case("instance norm with affine", (10, 9, 40), channels=6, norm=GroupNorm(affine=True), dilations=(1, 8)),
    a_case("instance norm after a large mean", (8, 9, 34), activation="elu", norm=GroupNorm(), gain=100, offset=50),
    a_case("large activations, ReLU", (8, 9, 34), gain=60),
    a_case("large activations, ELU", (8, 9, 34), activation="elu", gain=60),
    a_case("large activations, GELU", (8, 9, 34), activation="gelu", gain=60),
    a_case("large activations, tanh GELU", (8, 9, 34), activation="gelu_tanh", gain=60),
]  # fmt: skip


@pytest.fixture(scope="module", params=[kernel.cpu for kernel in load_all_kernels()])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    return next(kernel for kernel in load_all_kernels() if kernel.cpu == request.param)


def graph_and_image(case: Case) -> tuple[engine_cases.BuiltCase, Graph, F32]:
    built = engine_cases.build(case)
    image = np.ascontiguousarray(built.image[0].transpose(2, 1, 0))  # the page's [z, y, x] to Python's [x, y, z]
    return built, build_graph(parse_spec(built.model_json, where="case"), load(built.weights)), image


def activations_after(kernel: Kernel, graph: Graph, layers: int, image: F32) -> F32:
    """Output [channel, x, y, z] of the first `layers` layers: the logits of a classifier that is the identity."""
    blocks = graph.layers[:layers]
    channels = blocks[-1].weight.shape[0]
    identity = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1, 1)
    classifier = Layer("classifier", identity, np.zeros(channels, np.float32), 1, None, "none")
    outputs = np.empty((channels, *image.shape), np.float32)
    run_cpu(kernel, Graph((*blocks, classifier)), image, threads=2, logits=outputs)
    return outputs


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_equals_pytorchs(kernel: Kernel, case: Case) -> None:
    built, graph, image = graph_and_image(case)
    outputs = [activations_after(kernel, graph, n + 1, image) for n in range(len(graph.layers) - 1)]
    logits = np.empty((graph.classes, *image.shape), np.float32)
    labels = run_cpu(kernel, graph, image, threads=2, logits=logits)
    wanted = [output.transpose(0, 3, 2, 1) for output in built.outputs]
    assert_outputs_equal([*outputs, logits], wanted, relative=RELATIVE)
    assert np.array_equal(labels, logits.argmax(0))
    torch_labels = built.labels.transpose(2, 1, 0)
    assert agreement(labels, torch_labels) >= 0.9999 or agreement(labels, torch_labels) * labels.size >= labels.size - 1
    assert smallest_dice(labels, torch_labels) >= 0.999 or labels.size < 10_000


@pytest.mark.parametrize("activation", ["relu", "elu", "gelu", "gelu_tanh"])
def test_activations_are_accurate_from_minus_1e30_to_1e30(kernel: Kernel, activation: str) -> None:
    magnitudes = np.concatenate([np.logspace(-6, 2, 4000), [0, 100, 88.5, 1e10, 1e30]])
    values = np.concatenate([magnitudes, -magnitudes]).astype(np.float32)
    values = values[: len(values) // 4 * 4]
    got = values.copy()
    kernel.library.activate_values(kernel.address, got.ctypes.data, got.size, ACTIVATIONS[activation])
    x = torch.from_numpy(values).double()
    exact = {
        "relu": torch.relu,
        "elu": torch.nn.functional.elu,
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    }[activation](x)
    assert (np.abs(got - exact.numpy()) <= 2e-7 * np.maximum(1, np.abs(values))).all()


@pytest.mark.parametrize("channels", [5, 12])
def test_any_number_of_threads_gives_the_same_bits(kernel: Kernel, channels: int) -> None:
    case = a_case("threads", (13, 20, 64), channels=channels, norm=GroupNorm(), activation="gelu")
    _, graph, image = graph_and_image(case)
    results = []
    for threads in (1, 2, 3, 7):
        logits = np.empty((graph.classes, *image.shape), np.float32)
        run_cpu(kernel, graph, image, threads=threads, logits=logits)
        results.append(logits)
    assert all(np.array_equal(result, results[0]) for result in results[1:])


def test_the_lowest_class_wins_a_tie(kernel: Kernel) -> None:
    _, graph, image = graph_and_image(a_case("tie", (3, 4, 9), channels=2, classes=5, dilations=(1,)))
    bias = np.array([0, 2, 1, 2, 2], np.float32)
    classifier = replace(graph.layers[-1], weight=np.zeros((5, 2, 1, 1, 1), np.float32), bias=bias)
    labels = run_cpu(kernel, Graph((graph.layers[0], classifier)), image, threads=1)
    assert set(labels.ravel()) == {1}


def test_an_exception_while_layers_are_reported_ends_the_run_and_the_next_one_works() -> None:
    kernel = load_kernel()
    _, graph, image = graph_and_image(a_case("interrupted", (40, 40, 64), channels=8, dilations=PAPER))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cpu(kernel, graph, image, threads=2, on_layer=interrupt)
    layers: list[int] = []
    run_cpu(kernel, graph, image, threads=2, on_layer=lambda: layers.append(1))
    assert len(layers) == len(graph.layers) - 1


@pytest.mark.parametrize("channels", [5, 8, 16, 26])
def test_at_256_cubed_everything_takes_at_most_1_08_activation_volumes(channels: int) -> None:
    """This plans only, and doesn't need the gigabytes."""
    case = a_case("large", (4, 4, 4), channels=channels, dilations=PAPER)
    _, graph, _ = graph_and_image(case)
    kernel = load_kernel()
    plan = plan_graph(kernel, graph, (256, 256, 256), threads=2)
    labels = 256**3
    total = kernel.library.plan_bytes(plan.ctypes.data) + labels
    assert channels * 4 * 256**3 <= total <= 1.08 * channels * 4 * 256**3


#: Taps of one output and one input channel [x, y, z]: tap (x, y, z) is 100 x + 10 y + z.
DIGITS = np.add.outer(np.add.outer([0, 100, 200], [0, 10, 20]), [0, 1, 2]).astype(np.float32)


def packed(weight: NDArray[np.float32], *, points: int, order: int) -> NDArray[np.float32]:
    """Weights [outputs, channels, x, y, z] as C packs them; `points` 36 or 6 for Winograd, 1 for direct."""
    weight = np.ascontiguousarray(weight, np.float32)
    outputs, channels = weight.shape[:2]
    to = np.empty(outputs * channels * {36: 108, 6: 54, 1: 27}[points], np.float32)
    library = load_kernel().library
    library.pack_convolution(to.ctypes.data, weight.ctypes.data, outputs, channels, points, order)
    return to


def test_direct_weights_run_along_middle_then_fast_then_slow() -> None:
    # z is fast, y middle, x slow in Python's arrays; the page has x fast, y middle, z slow
    python = packed(DIGITS[None, None], points=1, order=Z_FASTEST)
    assert python[:12].tolist() == [0, 10, 20, 1, 11, 21, 2, 12, 22, 100, 110, 120]
    page = packed(DIGITS[None, None], points=1, order=X_FASTEST)
    assert page[:12].tolist() == [0, 10, 20, 100, 110, 120, 200, 210, 220, 1, 11, 21]


def test_winograd_weights_have_the_taps_along_middle_then_slow_within_a_point() -> None:
    """G's first row is (1, 0, 0) and its last (0, 0, 1): they keep the first and the last tap along z."""
    taps = packed(DIGITS[None, None], points=6, order=Z_FASTEST)
    assert taps[:9].tolist() == [0, 10, 20, 100, 110, 120, 200, 210, 220]
    assert taps[45:].tolist() == [2, 12, 22, 102, 112, 122, 202, 212, 222]


def test_winograd_along_both_axes_is_winograd_along_fast_of_winograd_along_middle() -> None:
    """Along z with the taps of y transformed by hand; the taps along x, the slow axis, stay."""
    root = np.sqrt(2)
    rows = np.array([[1, 0, 0], [-2, -root, -1], [-2, root, -1], [1, root, 2], [1, -root, 2], [0, 0, 1]])
    G = rows / np.array([1, 3, 3, 6, 6, 1])[:, None]
    got = packed(DIGITS[None, None], points=36, order=Z_FASTEST).reshape(6, 6, 3)
    assert got == pytest.approx(np.einsum("py,qz,xyz->pqx", G, G, DIGITS), rel=1e-6, abs=1e-4)


@pytest.mark.parametrize(("order", "axis"), [(X_FASTEST, 0), (Z_FASTEST, 2)])
def test_winograd_transforms_the_taps_along_the_fastest_axis(order: int, axis: int) -> None:
    """G by hand: the row of a point p is (1, p, p²) / prod(p - q), which is 1 at 0, -3/2 at ±√½ and 6 at ±√2."""
    root = np.sqrt(2)
    rows = [[1, 0, 0], [-2, -root, -1], [-2, root, -1], [1, root, 2], [1, -root, 2], [0, 0, 1]]
    wanted = np.array(rows) / np.array([1, 3, 3, 6, 6, 1])[:, None]
    for tap in range(3):
        weight = np.zeros((1, 1, 3, 3, 3), np.float32)
        weight[0, 0][tuple(tap if i == axis else 1 for i in range(3))] = 1
        by_point = packed(weight, points=6, order=order).reshape(6, 9)
        assert by_point[:, 4] == pytest.approx(wanted[:, tap], rel=1e-7)
        assert not np.delete(by_point, 4, axis=1).any()


def test_outputs_of_a_register_block_run_before_channels_and_the_larger_block_comes_first() -> None:
    outputs, channels = np.arange(7)[:, None], np.arange(2)[None, :]
    weight = np.broadcast_to((10 * outputs + channels)[..., None, None, None], (7, 2, 3, 3, 3))
    values = packed(weight, points=1, order=Z_FASTEST)
    assert values[:8].tolist() == [0, 10, 20, 30, 1, 11, 21, 31]
    assert values[27 * 8 :][:6].tolist() == [40, 50, 60, 41, 51, 61]


@pytest.mark.parametrize("dilation", [1, 4])
def test_an_impulse_meets_the_taps_at_their_places(kernel: Kernel, dilation: int) -> None:
    """The impulse reaches the voxel at centre - (tap - 1) · dilation with that tap's weight."""
    image = np.zeros((10, 11, 64), np.float32)
    image[5, 5, 30] = 1
    bias = np.zeros(1, np.float32)
    layer = Layer("layers.0", (1 + DIGITS)[None, None], bias, dilation, None, "none")
    wanted = np.zeros((1, *image.shape), np.float32)
    for x, y, z in np.ndindex(3, 3, 3):
        wanted[0, 5 - (x - 1) * dilation, 5 - (y - 1) * dilation, 30 - (z - 1) * dilation] = 1 + 100 * x + 10 * y + z
    output = activations_after(kernel, Graph((layer, replace(layer, name="unused"))), 1, image)
    assert_outputs_equal([output], [wanted], relative=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_are_those_of_every_class_but_the_background(kernel: Kernel, classes: int) -> None:
    _, graph, image = graph_and_image(a_case("probabilities", (5, 6, 41), classes=classes))
    logits = np.empty((classes, *image.shape), np.float32)
    probabilities = np.empty((classes - 1, *image.shape), np.uint8)
    labels = run_cpu(kernel, graph, image, threads=2, probabilities=probabilities, logits=logits)
    wanted = torch.from_numpy(logits).double().softmax(0).numpy()[1:]
    assert np.abs(probabilities - 255 * wanted).max() <= 0.501
    np.testing.assert_array_equal(probabilities, quantise(logits, labels))


def test_a_library_of_another_version_says_how_to_build_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshnet.infer.kernel.library.VERSION", 99)
    with pytest.raises(KernelMissingError, match=r"has version \d+, expected 99; build it again: python"):
        load_kernel()


def test_a_file_that_is_missing_or_no_library_says_so(tmp_path: Path) -> None:
    with pytest.raises(KernelMissingError, match=r"_kernel\.so is not there; in a checkout, build it: python"):
        load_kernel(tmp_path / "_kernel.so")
    (tmp_path / "_kernel.so").write_text("no library")
    with pytest.raises(KernelMissingError, match=r"_kernel\.so does not load: "):
        load_kernel(tmp_path / "_kernel.so")


def test_a_library_newer_than_its_sources_is_not_built_again() -> None:
    first = build()
    assert first is not None
    before = first[0].stat().st_mtime_ns
    assert build() == first
    assert first[0].stat().st_mtime_ns == before
