"""The compiled CPU kernel gives PyTorch's numbers, layer by layer, with every kind of vectors this CPU has."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load

from meshnet.infer.kernel.build import SOURCES, build
from meshnet.infer.kernel.library import Job, Kernel, KernelMissingError, load_all_kernels, load_kernel
from meshnet.infer.kernel.plan import ACTIVATIONS, make_program, residue_order
from meshnet.infer.kernel.run import run_native
from meshnet.infer.kernel.weights import output_blocks
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


# dims are D, H, W; rows (W) of 64 and more have Winograd layers at the paper's dilations.
CASES = [
    a_case("5 channels, the paper's dilations", (18, 11, 64), dilations=PAPER),
    a_case("11 channels, ELU", (9, 10, 64), channels=11, activation="elu", dilations=(1, 16, 2)),
    a_case("16 channels, GELU", (5, 9, 48), channels=16, activation="gelu", dilations=(1, 4, 8)),
    a_case("26 channels, BatchNorm", (6, 7, 32), channels=26, norm=BatchNorm()),
    a_case("30 channels, 18 classes", (5, 8, 40), channels=30, classes=18, activation="elu"),
    a_case("104 classes", (5, 6, 35), channels=21, classes=104, dilations=(1, 2)),
    a_case("an odd size, no conv bias", (7, 11, 37), channels=4, conv_bias=False, classifier_bias=False),
    a_case("rows of one voxel", (6, 5, 1), channels=2, dilations=(1, 2)),
    a_case("one plane", (1, 17, 19), channels=3, dilations=(1, 4)),
    a_case("dilations no vector fits", (15, 13, 29), channels=3, dilations=(3, 5, 6, 7)),
    a_case("a dilation larger than the volume", (9, 10, 12), dilations=(16, 64, 7)),
    a_case("dilations of 4 times an odd number", (6, 5, 96), channels=6, dilations=(12, 20, 8)),
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
    image = np.ascontiguousarray(built.image[0].transpose(2, 1, 0))  # [z, y, x] to [D, H, W]
    return built, build_graph(parse_spec(built.model_json, where="case"), load(built.weights)), image


def activations_after(kernel: Kernel, graph: Graph, layers: int, image: F32) -> F32:
    """What the first `layers` layers give [channel, D, H, W]: the logits of a classifier that is the identity."""
    blocks = graph.layers[:layers]
    channels = blocks[-1].weight.shape[0]
    identity = np.eye(channels, dtype=np.float32).reshape(channels, channels, 1, 1, 1)
    classifier = Layer("classifier", identity, np.zeros(channels, np.float32), 1, None, "none")
    outputs = np.empty((channels, *image.shape), np.float32)
    run_native(kernel, Graph((*blocks, classifier)), image, threads=2, logits=outputs)
    return outputs


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_equals_pytorchs(kernel: Kernel, case: Case) -> None:
    built, graph, image = graph_and_image(case)
    outputs = [activations_after(kernel, graph, n + 1, image) for n in range(len(graph.layers) - 1)]
    logits = np.empty((graph.classes, *image.shape), np.float32)
    labels = run_native(kernel, graph, image, threads=2, logits=logits)
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
    kernel.activate_values(got.ctypes.data, got.size, ACTIVATIONS[activation])
    x = torch.from_numpy(values).double()
    exact = {
        "relu": torch.relu,
        "elu": torch.nn.functional.elu,
        "gelu": torch.nn.functional.gelu,
        "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    }[activation](x)
    assert (np.abs(got - exact.numpy()) <= 2e-7 * np.maximum(1, np.abs(values))).all()


def test_any_number_of_threads_gives_the_same_bits(kernel: Kernel) -> None:
    _, graph, image = graph_and_image(a_case("threads", (13, 20, 64), norm=GroupNorm(), activation="gelu"))
    results = []
    for threads in (1, 2, 3, 7):
        logits = np.empty((graph.classes, *image.shape), np.float32)
        run_native(kernel, graph, image, threads=threads, logits=logits)
        results.append(logits)
    assert all(np.array_equal(result, results[0]) for result in results[1:])


def test_the_lowest_class_wins_a_tie(kernel: Kernel) -> None:
    _, graph, image = graph_and_image(a_case("tie", (3, 4, 9), channels=2, classes=5, dilations=(1,)))
    bias = np.array([0, 2, 1, 2, 2], np.float32)
    classifier = replace(graph.layers[-1], weight=np.zeros((5, 2, 1, 1, 1), np.float32), bias=bias)
    labels = run_native(kernel, Graph((graph.layers[0], classifier)), image, threads=1)
    assert set(labels.ravel()) == {1}


def test_an_exception_while_layers_are_reported_ends_the_run_and_the_next_one_works() -> None:
    kernel = load_kernel()
    _, graph, image = graph_and_image(a_case("interrupted", (40, 40, 64), channels=8, dilations=PAPER))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_native(kernel, graph, image, threads=2, on_layer=interrupt)
    layers: list[int] = []
    run_native(kernel, graph, image, threads=2, on_layer=lambda: layers.append(1))
    assert len(layers) == len(graph.layers) - 1


@pytest.mark.parametrize("channels", [5, 26])
def test_at_256_cubed_everything_takes_at_most_1_1_activation_volumes(channels: int) -> None:
    """Few pages of the volume are touched: this doesn't need its gigabytes."""
    case = a_case("large", (4, 4, 4), channels=channels, dilations=PAPER)
    _, graph, _ = graph_and_image(case)
    image: NDArray[np.float32] = np.broadcast_to(np.float32(0), (256, 256, 256))
    program = make_program(load_kernel(), graph, image, threads=2)
    # 16 MiB of labels and what small networks keep in the ring come on top
    assert program.bytes <= 1.1 * channels * 4 * 256**3 + 48 * 2**20


@pytest.mark.parametrize("outputs", [1, 5, 6, 11, 16, 26, 30, 64, 104])
def test_outputs_are_split_into_register_blocks_as_equal_as_can_be(outputs: int) -> None:
    blocks = output_blocks(outputs)
    assert sum(blocks) == outputs
    assert max(blocks) - min(blocks) <= 1
    assert max(blocks) <= 6


def test_residue_order_makes_neighbours_at_the_dilation_neighbours() -> None:
    assert residue_order(7, 3).tolist() == [0, 3, 6, 1, 4, 2, 5]
    assert residue_order(3, 8).tolist() == [0, 1, 2]


def test_the_structure_in_python_has_the_members_of_the_one_in_c() -> None:
    body = re.search(r"typedef struct \{(.*?)\} Job;", (SOURCES / "job.h").read_text(), re.DOTALL)
    assert body is not None
    declarations = re.sub(r"//.*", "", body[1]).split(";")
    names = [name for text in declarations for name in re.findall(r"(\w+)\s*(?:,|$)", text.strip())]
    assert [re.sub("[A-Z]", lambda m: "_" + m[0].lower(), name) for name in names] == [
        field[0] for field in Job._fields_
    ]


def test_a_library_that_is_missing_or_is_none_says_so(tmp_path: Path) -> None:
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
