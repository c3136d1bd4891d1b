"""Thresholds, the average with the mirror image, probability maps: the arithmetic, the backends, the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from meshnet.infer.backends import open_network
from meshnet.infer.confidence import Confidence, check_confidence, chosen_label, mirror_axis, run_network, sided_label
from meshnet.infer.predict import main
from meshnet.infer.probabilities import average, probability_of, quantise, threshold_labels
from meshnet.model.checkpoint import Weights, expected_shapes, save_checkpoint
from meshnet.model.network import model_from
from meshnet.model.spec import Architecture, GroupNorm, InputSpec, ModelSpec, NoNorm, SpecError, make_labels
from tests.helpers.scan_files import affine_of, write_scan
from tests.helpers.specs import a_spec

U8 = NDArray[np.uint8]

JOINT = ("background", "csf", "grey", "white", "lesion")
#: Left and right differ, and no axis is as long as another.
SHAPE = (11, 7, 9)


def a_model(names: tuple[str, ...] = ("background", "lesion"), **changes: Any) -> tuple[ModelSpec, Weights]:
    """A randomly initialised network whose classes are all likely somewhere."""
    norm = changes.pop("norm", NoNorm())
    architecture = Architecture(channels=4, classes=len(names), dilations=(1, 2), activation="elu", norm=norm)
    rng = np.random.default_rng(len(names))
    weights = {
        name: rng.standard_normal(shape).astype(np.float32) for name, shape in expected_shapes(architecture).items()
    }
    weights["classifier.weight"] *= 0.3
    return a_spec(
        architecture=architecture,
        labels=make_labels(names, ["lesion" if name == "lesion" else None for name in names]),
        **changes,
    ), weights


def an_image(shape: tuple[int, int, int] = SHAPE) -> NDArray[np.float32]:
    return np.random.default_rng(3).random(shape).astype(np.float32)


def softmax_of(spec: ModelSpec, weights: Weights, image: NDArray[np.float32]) -> NDArray[np.float64]:
    with torch.inference_mode():
        logits = model_from(spec.architecture, weights)(torch.from_numpy(image)[None, None])[0]
    softmax: NDArray[np.float64] = logits.double().softmax(0).numpy()
    return softmax


def random_probabilities(classes: int, voxels: int = 400) -> tuple[U8, U8]:
    """Labels and probabilities of random logits, with ties among them."""
    logits = np.random.default_rng(classes).integers(-4, 5, (classes, voxels)).astype(np.float32)
    labels = logits.argmax(0).astype(np.uint8)
    return labels, quantise(logits, labels)


@pytest.mark.parametrize("names", [("background", "lesion"), JOINT], ids=["two classes", "five classes"])
@pytest.mark.parametrize("norm", [NoNorm(), GroupNorm()], ids=str)
@pytest.mark.parametrize("backend", ["torch", "onnx", "cpu"])
def test_a_run_with_probabilities_has_the_labels_of_one_without(
    backend: str, norm: NoNorm | GroupNorm, names: tuple[str, ...]
) -> None:
    spec, weights = a_model(names, norm=norm)
    image = an_image((33, 7, 9))  # more planes than a slab of run_torch
    network, _ = open_network(spec, weights, backend=backend, threads=1)
    probabilities = np.zeros((len(names) - 1, *image.shape), np.uint8)

    plain, labels = network(image, lambda: None), network(image, lambda: None, probabilities)

    np.testing.assert_array_equal(labels, plain)
    assert set(np.unique(labels)) == set(range(len(names)))
    assert np.abs(probabilities - 255 * softmax_of(spec, weights, image)[1:]).max() <= 1


def test_a_run_without_these_options_asks_the_network_once_and_for_labels_only() -> None:
    calls: list[tuple[Any, ...]] = []

    def network(*arguments: Any) -> U8:
        calls.append(arguments)
        return np.zeros(SHAPE, np.uint8)

    spec, _ = a_model()
    assert run_network(network, spec, an_image(), lambda: None)[1] is None
    assert [len(arguments) for arguments in calls] == [2]


def test_a_probability_never_contradicts_the_label() -> None:
    """p is 1/2 to rounding, on either side."""
    tiny = np.float32(1e-9)
    logits = np.array([[0, tiny, 0, 0], [tiny, 0, 0, 80]], np.float32)
    assert quantise(logits, logits.argmax(0).astype(np.uint8)).tolist() == [[128, 127, 127, 255]]


def test_a_threshold_of_one_half_keeps_the_labels_of_two_classes() -> None:
    labels, probabilities = random_probabilities(2)
    np.testing.assert_array_equal(threshold_labels(labels, probabilities, 1, 0.5), labels)


@pytest.mark.parametrize("threshold", [0, 0.004, 0.2, 0.5, 0.73, 1])
def test_a_threshold_gives_a_lost_voxel_to_the_most_probable_other_label(threshold: float) -> None:
    labels, probabilities = random_probabilities(5)
    got = threshold_labels(labels, probabilities, 4, threshold)
    for voxel, label in enumerate(labels):
        p = [max(0, 255 - int(probabilities[:, voxel].sum(dtype=int))), *probabilities[:, voxel].tolist()]
        if p[4] >= 255 * threshold:
            wanted = 4
        elif label == 4:
            wanted = max(range(4), key=lambda k: (p[k], -k))
        else:
            wanted = label
        assert got[voxel] == wanted


def test_the_rest_of_the_probability_is_the_backgrounds() -> None:
    probabilities = np.array([[200, 0, 130], [10, 0, 127]], np.uint8)
    assert probability_of(probabilities, 0).tolist() == [45, 255, 0]
    assert probability_of(probabilities, 2).tolist() == [10, 0, 127]


def test_an_average_of_two_classes_agrees_with_a_threshold_of_one_half_also_at_the_tie() -> None:
    a, b = (np.array([values], np.uint8)[..., None] for values in ([255, 128, 0, 127], [0, 128, 3, 130]))
    labels, probabilities = average(a, b)
    assert labels.ravel().tolist() == [0, 1, 0, 1]
    assert probabilities.ravel().tolist() == [127, 128, 1, 128]
    np.testing.assert_array_equal(threshold_labels(labels, probabilities, 1, 0.5), labels)


@pytest.mark.parametrize("orientation", ["LIA", "RAS", "PIR", "SAL"])
def test_the_mirror_image_is_that_from_left_to_right_and_mirrored_back(orientation: str) -> None:
    spec, weights = a_model(JOINT, input=InputSpec(orientation=orientation))
    axis = {"LIA": 0, "RAS": 0, "PIR": 2, "SAL": 2}[orientation]
    assert mirror_axis(orientation) == axis
    network, steps = open_network(spec, weights, backend="cpu", threads=1)
    image, called = an_image(), []

    labels, p = run_network(network, spec, image, lambda: called.append(1), Confidence(flip=True, probability=True))

    softmax = softmax_of(spec, weights, image)
    mirrored = np.flip(softmax_of(spec, weights, np.ascontiguousarray(np.flip(image, axis))), axis + 1)
    mean = (softmax + mirrored) / 2
    assert len(called) == 2 * steps
    assert p is not None
    assert np.abs(p - 255 * mean[4]).max() <= 1.5
    two = np.sort(mean, axis=0)[-2:]
    clear = two[1] - two[0] > 4 / 255  # elsewhere rounding to 8 bits may decide
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(labels[clear], mean.argmax(0)[clear])


def test_the_average_is_symmetric_where_the_scan_is() -> None:
    spec, weights = a_model()
    half = an_image((5, 7, 9))
    image = np.concatenate([half, np.flip(half, 0)])
    network, _ = open_network(spec, weights, backend="cpu", threads=1)
    plain, _ = run_network(network, spec, image, lambda: None)
    assert not np.array_equal(plain, np.flip(plain, 0))
    averaged, _ = run_network(network, spec, image, lambda: None, Confidence(flip=True))
    np.testing.assert_array_equal(averaged, np.flip(averaged, 0))


def test_models_without_a_lesion_with_sides_or_with_many_labels_are_refused_with_the_reason() -> None:
    tissue, _ = a_model(("background", "csf", "grey", "white"))
    deep, _ = a_model(("background", "Left-Thalamus", "Right-Thalamus"))
    many, _ = a_model(("background", *(f"label {i}" for i in range(8))))
    with pytest.raises(SpecError, match="has 4 labels and not one of them is a lesion"):
        check_confidence(tissue, Confidence(threshold=0.3))
    check_confidence(tissue, Confidence(flip=True))
    with pytest.raises(SpecError, match=r"sides \(Left-Thalamus\).*run it without --flip"):
        check_confidence(deep, Confidence(flip=True))
    with pytest.raises(SpecError, match=r"has 9 labels; .* up to 8"):
        check_confidence(many, Confidence(flip=True))
    check_confidence(many, Confidence())


@pytest.mark.parametrize(
    ("name", "sided"),
    [("Left-Thalamus", True), ("ctx-rh-cuneus", True), ("Right Lateral Ventricle", True), ("cleft", False),
     ("bright lesion", False), ("WM", False)],
)  # fmt: skip
def test_a_side_is_a_word_of_a_labels_name(name: str, sided: bool) -> None:
    spec, _ = a_model(("background", name))
    assert sided_label(spec) == (name if sided else None)


def test_the_chosen_label_is_the_only_one_or_the_lesion() -> None:
    assert [chosen_label(a_model(names)[0]) for names in (("background", "brain"), JOINT, JOINT[:4])] == [1, 4, None]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    spec, weights = a_model(JOINT, id="joint", input=InputSpec(size=(16, 16, 16), voxel_size_mm=4.0))
    save_checkpoint(tmp_path / "model", spec, weights)
    return tmp_path / "model"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Oblique, left-handed, anisotropic."""
    data = np.random.default_rng(5).integers(0, 900, (19, 23, 11)).astype(np.int16)
    affine = affine_of(
        axes="LPS", voxel_size_mm=(3.0, 2.5, 5.0), rotation_deg=(11, -7, 23), origin_mm=(20.0, -31.0, 4.0)
    )
    return write_scan(tmp_path / "scan.nii.gz", data, affine)


def test_the_saved_map_keeps_the_scans_header_and_its_threshold_is_the_mask(
    model: Path, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--threshold", "0.3", "--flip", "--probability", "--json", "-q"]
    assert main([str(model), str(scan), "-o", str(out), *options]) == 0

    result, saved = out / "scan_joint_flip_threshold0.3.nii.gz", out / "scan_joint_flip_threshold0.3_probseg.nii.gz"
    assert json.loads(capsys.readouterr().out)["probability"] == str(saved)
    mask, probability, source = nib.load(result), nib.load(saved), nib.load(scan)
    for key in ("pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "xyzt_units"):
        np.testing.assert_array_equal(probability.header[key], source.header[key])
    assert probability.get_data_dtype() == np.uint8
    stored = np.asarray(probability.dataobj.get_unscaled())
    np.testing.assert_allclose(np.asarray(probability.dataobj), stored / 255, atol=1e-6)
    labels = np.asarray(mask.dataobj)
    assert len(np.unique(labels)) == 5
    np.testing.assert_array_equal(labels == 4, stored >= np.ceil(255 * 0.3))


def test_skip_done_runs_again_for_a_missing_map(
    model: Path, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(model), str(scan), "-o", str(tmp_path / "out"), "-q", "--skip-done"]
    assert main(command) == 0
    assert main([*command, "--probability"]) == 0
    assert (tmp_path / "out" / "scan_joint_probseg.nii.gz").exists()
    assert "earlier run" not in capsys.readouterr().out
    assert main([*command, "--probability"]) == 0
    assert "(from an earlier run)" in capsys.readouterr().out


@pytest.mark.parametrize("threshold", ["1.2", "-0.1", "half"])
def test_a_threshold_that_is_no_probability_is_refused(
    model: Path, scan: Path, threshold: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(model), str(scan), f"--threshold={threshold}"])
    assert "--threshold" in capsys.readouterr().err
