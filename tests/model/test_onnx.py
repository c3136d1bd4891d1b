"""ONNX files: labels and logits, metadata, and memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from export.verify import TOLERANCE, difference, reference_logits, verification_inputs
from meshnet.model.graph import build_graph, check_same_graph, stored_model
from meshnet.model.onnx import CLASSES_PER_CHUNK, METADATA_KEY, to_onnx
from meshnet.model.spec import SpecError, make_labels, parse_spec
from tests.helpers.export_models import KINDS, small_model


def run(model: onnx.ModelProto, image: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_logits_are_those_of_pytorch(kind: str) -> None:
    spec, weights = small_model(**KINDS[kind])
    for image in verification_inputs(spec.architecture).values():
        reference = reference_logits(spec, weights, image)
        labels, logits = run(to_onnx(spec, weights, logits=True), image)
        (chunked,) = run(to_onnx(spec, weights), image)
        assert np.array_equal(chunked, labels)
        assert labels.dtype == np.uint8
        result = difference(kind, reference, logits, labels)
        assert result.worst_relative <= TOLERANCE
        assert result.decided_agreement == 1


@pytest.mark.parametrize("classes", [2, CLASSES_PER_CHUNK, CLASSES_PER_CHUNK + 1, 5 * CLASSES_PER_CHUNK])
def test_of_equal_logits_the_lowest_class_wins_across_chunks(classes: int) -> None:
    spec, weights = small_model(classes=classes)
    # Small whole numbers, so that sums are exact in any order and equal logits are equal to the bit.
    weights = {name: np.round(4 * array) for name, array in weights.items()}
    weights["classifier.weight"][:] = weights["classifier.weight"][:1]
    weights["classifier.bias"][:] = weights["classifier.bias"][0]
    image = np.random.default_rng(0).integers(0, 9, (1, 1, 5, 7, 6)).astype(np.float32)
    (labels,) = run(to_onnx(spec, weights), image)
    assert (labels == 0).all()


def test_the_winning_class_is_found_in_every_chunk() -> None:
    classes = 3 * CLASSES_PER_CHUNK + 1
    spec, weights = small_model(classes=classes)
    weights["classifier.weight"][:] = 0
    image = np.zeros((1, 1, 2, 3, 2), np.float32)
    for winner in range(classes):
        weights["classifier.bias"][:] = 0
        weights["classifier.bias"][winner] = 1
        (labels,) = run(to_onnx(spec, weights), image)
        assert (labels == winner).all()


def test_any_spatial_size_runs() -> None:
    spec, weights = small_model()
    session = onnxruntime.InferenceSession(
        to_onnx(spec, weights).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for shape in ((7, 5, 3), (1, 9, 4), (12, 12, 12)):
        (labels,) = session.run(None, {"image": np.zeros((1, 1, *shape), np.float32)})
        assert labels.shape == (1, *shape)


def test_the_norm_stays_exact_on_a_large_volume_that_is_mostly_background() -> None:
    # ONNX Runtime's own InstanceNormalization is wrong by 1e-2 here: one float32 sum over all voxels.
    spec, weights = small_model(channels=1, classes=2, dilations=(1,), norm={"kind": "group"}, conv_bias=False)
    weights["layers.0.conv.weight"][:] = 0
    weights["layers.0.conv.weight"][0, 0, 1, 1, 1] = 1  # passes the image on
    weights["classifier.weight"][:, 0, 0, 0, 0] = (1, -1)
    weights["classifier.bias"][:] = 0
    rng = np.random.default_rng(0)
    image = np.where(rng.random((1, 1, 160, 160, 160)) < 0.8, 0.3137, 1 + 0.3 * rng.random((160, 160, 160)))
    image = image.astype(np.float32)
    _, logits = run(to_onnx(spec, weights, logits=True), image)
    exact = image.astype(np.float64)
    exact = np.maximum((exact - exact.mean()) / np.sqrt(exact.var() + 1e-5), 0)
    assert np.abs(logits[0, 0] - exact[0, 0]).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_weights_compute_like_the_rounded_model(kind: str) -> None:
    spec, weights = small_model(**KINDS[kind])
    image = verification_inputs(spec.architecture)["random"]
    model = to_onnx(spec, weights, logits=True, dtype="float16")
    stored = {t.name: t.data_type for t in model.graph.initializer}
    assert stored["classifier.weight"] == onnx.TensorProto.FLOAT16
    labels, logits = run(model, image)
    rounded = stored_model(spec, weights, "float16")
    assert difference(kind, reference_logits(*rounded, image), logits, labels).worst_relative <= TOLERANCE


def test_weights_beyond_half_precision_are_refused() -> None:
    spec, weights = small_model()
    weights["layers.1.conv.weight"][0, 0, 0, 0, 0] = 1e5
    with pytest.raises(SpecError, match="has non-finite values"), np.errstate(over="ignore"):
        to_onnx(spec, weights, dtype="float16")


def test_the_metadata_carry_the_folded_description() -> None:
    spec, weights = small_model(norm={"kind": "batch"})
    roles = make_labels(["background", "tissue", "lesion"], (None, "context", "lesion"))
    spec = spec.model_copy(update={"labels": roles})
    model = to_onnx(spec, weights)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    carried = parse_spec(metadata[METADATA_KEY], where="metadata")
    assert carried.architecture.norm.kind == "none"
    assert carried.labels == spec.labels
    stored = stored_model(spec, weights, "float32")
    check_same_graph(build_graph(spec, weights), build_graph(*stored), what="folded")


def test_a_hundred_classes_never_exist_at_full_size() -> None:
    """Peak memory of a run in a new process: logits of one chunk of classes, not of 104 classes."""
    n = 96
    code = f"""
import numpy as np, onnxruntime, resource
from tests.helpers.export_models import small_model
from meshnet.model.onnx import to_onnx
spec, weights = small_model(classes=104, dilations=(1,))
session = onnxruntime.InferenceSession(to_onnx(spec, weights).SerializeToString(), providers=["CPUExecutionProvider"])
image = np.zeros((1, 1, {n}, {n}, {n}), np.float32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
session.run(None, {{"image": image}})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak_bytes = int(done.stdout) * (1024 if sys.platform == "linux" else 1)
    assert peak_bytes < 40 * 4 * n**3
