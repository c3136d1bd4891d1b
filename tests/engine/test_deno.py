"""The WebGPU engine under Deno on Mesa's lavapipe: the published models, float16 storage, and memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main as bench
from export.to_web import write_web
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.network import model_from
from meshnet.model.spec import Architecture, GroupNorm
from meshnet.scan.conform import conform
from meshnet.scan.nifti import read_scan
from meshnet.scan.normalize import normalize
from tests.helpers.deno import Run
from tests.helpers.engine_cases import (
    BuiltCase,
    Case,
    agreement,
    assert_outputs_equal,
    build,
    build_without_result,
    published_case,
    smallest_dice,
    with_result,
)
from tests.helpers.paths import REPO


def test_lavapipe_is_known_as_software(run: Run) -> None:
    case = Case("tiny", Architecture(channels=2, classes=2, dilations=(1,), activation="relu"), (5, 3, 4))

    probe = run(build(case))["probe"]

    assert probe["available"] is True
    assert probe["software"] is True


@pytest.mark.parametrize("norm", [None, GroupNorm(affine=True)], ids=["no norm", "affine norm"])
def test_float16_storage_stays_close_to_pytorch(run: Run, norm: GroupNorm | None) -> None:
    architecture = Architecture(channels=5, classes=3, dilations=(1, 2, 4), activation="gelu")
    if norm is not None:
        architecture = architecture.model_copy(update={"norm": norm})
    built = build(Case("f16", architecture, (11, 9, 19), gain=3))

    got = run(built, open={"f16": True}, inspect=True)

    # 11 bits of mantissa, once per layer
    assert_outputs_equal(got["outputs"], built.outputs, relative=5e-3)
    decided = built.margin > 0.01
    assert agreement(got["labels"][decided], built.labels[decided]) >= 0.999


@pytest.mark.parametrize(("model", "sample"), [("t2-lesion", "sample_T2w"), ("tissue", "sample_T1w")])
def test_float16_storage_keeps_the_labels_of_a_shipped_model(run: Run, tmp_path: Path, model: str, sample: str) -> None:
    spec, weights = load_checkpoint(REPO / "models" / model)
    scan = conform(read_scan(REPO / "static" / "public" / "sample" / f"{sample}.nii.gz"))
    image = normalize(scan.data, spec.input.normalization).transpose(2, 1, 0)[None, 72:192, 52:172, 44:164]
    write_web(tmp_path / "web", spec, weights)
    text, folded = ((tmp_path / "web" / name).read_bytes() for name in ("model.json", spec.weights.file))
    crop = BuiltCase((120, 120, 120), text.decode(), folded, np.ascontiguousarray(image))
    built = with_result(crop, model_from(spec.architecture, weights))

    got = run(built, open={"f16": True})

    assert len(np.unique(built.labels)) == len(spec.labels)
    assert agreement(got["labels"], built.labels) >= 0.999
    assert smallest_dice(got["labels"], built.labels) >= 0.995


def test_float16_storage_saturates_instead_of_overflowing(run: Run) -> None:
    architecture = Architecture(channels=4, classes=2, dilations=(1, 2, 1), activation="relu")
    built = build(Case("overflow", architecture, (9, 3, 8), gain=200))
    assert np.abs(built.outputs[2]).max() > 65504

    got = run(built, open={"f16": True}, inspect=True)

    assert all(np.isfinite(output).all() for output in got["outputs"])
    assert np.abs(got["outputs"][2]).max() == 65504


def test_the_kernel_of_hardware_adapters_gives_pytorchs_layers(run: Run) -> None:
    """Their tiles, and the columns kx spelled out as on large volumes."""
    architecture = Architecture(channels=5, classes=3, dilations=(1, 2, 4), activation="elu")
    built = build(Case("hardware", architecture, (21, 19, 11), gain=2))
    hardware = {"accumulators": 64, "activationLoad": 4, "weightLoad": 0.25, "unroll": True,
                "workgroup": {"x": 64, "y": 1}}  # fmt: skip

    layers = run(built, open={"tunables": hardware}, inspect=True)
    fused = run(built, open={"tunables": hardware, "timestamps": True})
    with_probabilities = run(built, open={"tunables": hardware}, probabilities=True)

    assert_outputs_equal(layers["outputs"], built.outputs, relative=2e-5)
    decided = built.margin > 1e-4
    assert agreement(fused["labels"][decided], built.labels[decided]) == 1
    np.testing.assert_array_equal(with_probabilities["labels"], fused["labels"])
    assert np.abs(with_probabilities["probabilities"] - 255 * built.probabilities).max() <= 1
    assert fused["details"] == {"storage": "float32"}
    # lavapipe has a clock
    assert len(fused["timings"]) > 1
    assert 0 < sum(timing["gpuMilliseconds"] for timing in fused["timings"][1:]) < np.inf


def test_the_tiles_of_large_volumes_on_lavapipe_give_pytorchs_layers(run: Run) -> None:
    """16 rows × 16 channels in registers, rows beyond the volume in the last group."""
    architecture = Architecture(channels=16, classes=3, dilations=(1, 2), activation="elu")
    built = build(Case("large-tiles", architecture, (9, 37, 5), gain=2))

    layers = run(built, open={"tunables": {"large": {"fromVoxels": 0, "accumulators": 256}}}, inspect=True)

    assert_outputs_equal(layers["outputs"], built.outputs, relative=2e-5)


SMALL = Case("small", Architecture(channels=4, classes=3, dilations=(1, 3, 2), activation="relu"), (10, 9, 23))


def test_a_device_without_room_for_float32_stores_float16_and_says_so(run: Run) -> None:
    built = build(SMALL)

    got = run(built, fault={"refuse": 1})

    assert got["details"] == {"storage": "float16"}
    decided = built.margin > 0.01
    assert agreement(got["labels"][decided], built.labels[decided]) >= 0.999


def test_a_device_without_room_at_all_says_how_much_was_needed(run: Run) -> None:
    got = run(build(SMALL), fault={"refuse": 100})

    assert "out of graphics memory, the model needs 1 MiB" in got["error"]


def test_a_device_lost_in_a_run_ends_it_with_a_sentence(run: Run) -> None:
    architecture = Architecture(channels=8, classes=2, dilations=(1, 2, 4, 8) * 3, activation="relu")
    long = build_without_result(Case("long", architecture, (96, 96, 96)))

    got = run(long, fault={"lose": 1500})

    assert got["error"] is not None
    assert "WebGPU: the device was closed" in got["error"]


#: Corner (i, j, k) and size of a crop that holds every label, in voxels of the conformed scan.
CROPS = {
    "brainchop-model5-gw-ae": ("t1_crop", (72, 60, 70), (72, 70, 66)),
    "brainchop-model11-gw-ae": ("t1_crop", (72, 60, 70), (65, 64, 63)),
    "brainchop-model30chan18cls": ("t1_crop", (96, 80, 90), (40, 41, 39)),
    "brainchop-model21-104class": ("t1_crop", (96, 80, 90), (40, 41, 39)),
    "brainchop-mindgrab": ("t1_crop", (80, 40, 60), (48, 47, 46)),
    "brainchop-t2-lesion": ("M2265_T2w", (120, 60, 70), (64, 63, 65)),
}


@pytest.mark.parametrize("model", CROPS)
def test_a_published_model_gives_pytorchs_labels_on_a_piece_of_a_scan(
    run: Run, shared_data: Path, tmp_path: Path, model: str
) -> None:
    built = published_crop(shared_data, tmp_path / "models", model)

    got = run(built)

    assert len(np.unique(built.labels)) >= 2
    assert agreement(got["labels"], built.labels) >= 0.9999
    assert smallest_dice(got["labels"], built.labels) >= 0.999


def published_crop(shared_data: Path, models: Path, model: str) -> BuiltCase:
    """A published model on a crop of its scan (CROPS), with PyTorch's result."""
    scan, (i, j, k), (nx, ny, nz) = CROPS[model]
    whole = published_case(shared_data, models, model, scan)
    crop = np.ascontiguousarray(whole.image[:, k : k + nz, j : j + ny, i : i + nx])
    spec, weights = load_checkpoint(models / model)
    return with_result(replace(whole, dims=(nx, ny, nz), image=crop), model_from(spec.architecture, weights))


def test_the_bench_measures_float16_storage_as_such(engine: Path, tmp_path: Path) -> None:
    selection = "--sizes 16 --channels 16 --only deno-f32,deno-f16 --rounds 1 --cap 60"
    assert bench([*selection.split(), "--out", str(tmp_path)]) == 0

    whole, half = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["cells"]
    assert [whole["runtime"], half["runtime"]] == ["deno-f32", "deno-f16"]
    assert whole["status"] == half["status"] == "measured"
    assert half["largest_bytes"] == whole["largest_bytes"] / 2  # activations
