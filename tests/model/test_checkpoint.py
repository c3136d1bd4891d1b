"""A model folder is read back exactly as written, and every kind of damage is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save as serialize
from safetensors.torch import save as serialize_torch

from meshnet.model.checkpoint import Weights, expected_shapes, load_checkpoint, save_checkpoint
from meshnet.model.network import MeshNet, model_from, weights_of
from meshnet.model.spec import BatchNorm, SpecError, WeightsFile
from tests.helpers.specs import NORMS, a_model


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_a_checkpoint_is_read_back_as_written(tmp_path: Path, norm: BatchNorm) -> None:
    spec, weights = a_model(norm)
    written = save_checkpoint(tmp_path / "m", spec, weights)
    read, arrays = load_checkpoint(tmp_path / "m")
    assert read == written
    assert list(arrays) == list(expected_shapes(spec.architecture))
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, weights[name])


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_the_torch_network_has_exactly_the_tensors_of_the_file(norm: BatchNorm) -> None:
    spec, weights = a_model(norm)
    shapes = {name: array.shape for name, array in weights_of(MeshNet(spec.architecture)).items()}
    assert shapes == expected_shapes(spec.architecture)
    back = weights_of(model_from(spec.architecture, weights))
    for name, array in back.items():
        np.testing.assert_array_equal(array, weights[name])


def test_half_precision_weights_are_read_back_as_float32(tmp_path: Path) -> None:
    spec, weights = a_model()
    half = spec.model_copy(update={"weights": WeightsFile(dtype="float16", sha256="0" * 64)})
    save_checkpoint(tmp_path, half, weights)
    _, arrays = load_checkpoint(tmp_path)
    for name, array in arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, weights[name].astype(np.float16))


def test_weights_too_large_for_half_precision_are_refused_not_made_infinite(tmp_path: Path) -> None:
    spec, weights = a_model()
    half = spec.model_copy(update={"weights": WeightsFile(dtype="float16", sha256="0" * 64)})
    weights["classifier.bias"][0] = 1e6
    with np.errstate(over="ignore"), pytest.raises(SpecError, match=r"classifier\.bias has non-finite"):
        save_checkpoint(tmp_path, half, weights)
    assert not (tmp_path / "model.json").exists()


def _truncate(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-4])


def _rewrite(folder: Path, weights: Weights | None, payload: bytes | None = None) -> None:
    """Replace the weights file and correct the hash in model.json, so that only a later check can fail."""
    payload = serialize(weights) if weights is not None else payload
    assert payload is not None
    (folder / "weights.safetensors").write_bytes(payload)
    description = json.loads((folder / "model.json").read_text())
    description["weights"]["sha256"] = hashlib.sha256(payload).hexdigest()
    (folder / "model.json").write_text(json.dumps(description))


def _with(name: str, array: np.ndarray) -> Callable[[Path], None]:
    return lambda folder: _rewrite(folder, a_model()[1] | {name: array})


def _without(name: str) -> Callable[[Path], None]:
    return lambda folder: _rewrite(folder, {k: v for k, v in a_model()[1].items() if k != name})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_truncate, "SHA-256"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "missing, though model.json names it"),
        (lambda folder: (folder / "model.json").unlink(), "no such file"),
        (lambda folder: _rewrite(folder, None, b"PK\x03\x04 not safetensors"), "not a safetensors file"),
        (_without("layers.1.conv.bias"), "layers.1.conv.bias"),
        (_with("layers.9.conv.bias", np.ones(3, np.float32)), "layers.9.conv.bias"),
        (_with("classifier.bias", np.ones(3, np.float32)), "shape (3,), model.json asks for (2,)"),
        (_with("classifier.bias", np.array([1, np.nan], np.float32)), "non-finite"),
        (_with("classifier.bias", np.ones(2, np.float16)), "model.json says float32"),
    ],
)
def test_each_kind_of_damage_is_named(tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    save_checkpoint(tmp_path, *a_model())
    damage(tmp_path)
    with pytest.raises(SpecError) as refusal:
        load_checkpoint(tmp_path)
    assert says in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such folder"):
        load_checkpoint(tmp_path / "absent")


def test_weights_of_a_type_that_numpy_lacks_are_refused(tmp_path: Path) -> None:
    spec, weights = a_model()
    save_checkpoint(tmp_path, spec, weights)
    payload = serialize_torch({name: torch.from_numpy(array).bfloat16() for name, array in weights.items()})
    (tmp_path / "weights.safetensors").write_bytes(payload)
    described = json.loads((tmp_path / "model.json").read_text())
    described["weights"]["sha256"] = hashlib.sha256(payload).hexdigest()
    (tmp_path / "model.json").write_text(json.dumps(described))
    with pytest.raises(SpecError, match="not a safetensors file of float32"):
        load_checkpoint(tmp_path)
