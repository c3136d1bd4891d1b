"""The bench's arithmetic: estimates, cells, ratios and their report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.cell import Cell, agreement, cell_from_visits, schedule_cell
from bench.cli import Bench, main
from bench.estimate import Known, gflops, layer_macs, longest_prefix, predict, prefix_share, total_macs, whole_from_part
from bench.inputs import Model, brainchop_files, paper_model
from bench.report import table_row
from bench.runtimes import Runtime, all_runtimes
from bench.targets import Line, check_targets, must_finish
from bench.visit import Job, Setting, Visit, visit_from_report
from meshnet.model.spec import PAPER_DILATIONS, Architecture, ModelSpec, WeightsFile, make_labels

FIVE = Architecture(channels=5, classes=2, dilations=PAPER_DILATIONS, activation="relu")
STOPPABLE = Runtime("stoppable", "stoppable", "site", "cpu", ours=True)
ONE_CALL = Runtime("one call", "one call", "peer", "ort:wasm", capping="prefix")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    spec = ModelSpec(
        id="meshnet-5",
        name="five",
        architecture=FIVE,
        labels=make_labels(["a", "b"]),
        weights=WeightsFile(sha256="0" * 64),
    )
    return Model("meshnet-5", spec, {}, tmp_path)


def cell(runtime: str, seconds: float, **fields: object) -> Cell:
    return replace(Cell(runtime, "meshnet-5", 5, 64, "measured", seconds), **fields)  # type: ignore[arg-type]


def line(lines: list[Line], text: str) -> Line:
    (found,) = [each for each in lines if each.text == text and each.outcome != "not in this run"]
    return found


# --- estimates ---


def test_multiply_adds_are_those_of_the_paper() -> None:
    assert sum(layer_macs(FIVE)) == 27 * (5 + 8 * 25) + 10
    for channels, gmacs in ((5, 93), (16, 936), (26, 2462)):
        a = FIVE.model_copy(update={"channels": channels})
        assert total_macs(a, 256) / 1e9 == pytest.approx(gmacs, rel=2e-3)


def test_the_rate_counts_two_operations_per_multiply_add() -> None:
    assert gflops(FIVE, 64, 2.0) == pytest.approx(total_macs(FIVE, 64) / 1e9)


def test_a_part_of_the_work_tells_the_time_of_all_of_it() -> None:
    assert whole_from_part(12.0, 0.25) == 48
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        whole_from_part(12.0, 0)


def test_the_first_layers_share_of_the_work_includes_the_classifier() -> None:
    assert prefix_share(FIVE, 9) == 1
    assert prefix_share(FIVE, 2) == (135 + 675 + 10) / 5545


def test_a_cell_is_predicted_from_the_nearest_size_of_the_same_model_before_any_other() -> None:
    known = [Known("meshnet-5", 64, 100, 1.0), Known("meshnet-5", 128, 800, 7.0), Known("meshnet-16", 64, 1000, 9.0)]

    assert predict(known, "meshnet-5", 256, 6400) == (56.0, known[1])
    assert predict(known, "meshnet-26", 64, 2000) == (18.0, known[2])
    assert predict([], "meshnet-5", 64, 1) is None


def test_a_runtime_that_cannot_be_stopped_gets_as_many_layers_as_the_cap_allows() -> None:
    assert longest_prefix(FIVE, expected_s=119, cap_s=120) is None
    layers = longest_prefix(FIVE, expected_s=240, cap_s=120)
    assert layers is not None
    assert 240 * prefix_share(FIVE, layers) <= 90 < 240 * prefix_share(FIVE, layers + 1)
    assert longest_prefix(FIVE, expected_s=1e6, cap_s=120) == 2


def test_a_hopeless_cell_is_not_started(model: Model) -> None:
    slow = [Known("meshnet-5", 64, model.macs(64), 100.0)]

    scheduled = schedule_cell(STOPPABLE, model, 128, slow, cap_s=120)

    assert scheduled.cell is not None
    assert scheduled.cell.status == "predicted"
    assert scheduled.cell.seconds == pytest.approx(800)
    assert "meshnet-5 at 64³" in scheduled.cell.note
    assert schedule_cell(STOPPABLE, model, 128, slow, cap_s=None).cell is None


def test_a_cell_over_the_cap_is_stopped_or_cut_short(model: Model) -> None:
    known = [Known("meshnet-5", 64, model.macs(64), 40.0)]

    assert schedule_cell(STOPPABLE, model, 128, known, cap_s=120).layers is None
    assert schedule_cell(ONE_CALL, model, 128, known, cap_s=120).layers == 3
    assert schedule_cell(ONE_CALL, model, 64, [], cap_s=120).layers is None


# --- visits and cells ---


def test_a_stopped_run_is_extrapolated_from_the_layers_it_finished(model: Model) -> None:
    report = {"error": "cap", "runsMs": [], "reached": {"layers": 3, "share": 0.25, "milliseconds": 100_000}}

    got = cell_from_visits(
        STOPPABLE, model, 64, [visit_from_report(report, Job(STOPPABLE, model, 64, 100), None)], None
    )

    assert got.status == "extrapolated"
    assert got.seconds == pytest.approx(400)
    assert got.note == "from 3 of its 10 layers, 25 % of the work"
    assert table_row(got, {})[3] == "~400"


def test_a_network_of_the_first_layers_stands_for_the_whole(model: Model) -> None:
    report = {"error": None, "runsMs": [60_000.0], "reached": None}

    got = cell_from_visits(
        ONE_CALL, model, 64, [visit_from_report(report, Job(ONE_CALL, model, 64, 100, 2), None)], None
    )

    assert got.status == "extrapolated"
    assert got.seconds == pytest.approx(60 / prefix_share(FIVE, 2))


def test_the_fastest_run_of_all_turns_counts(model: Model) -> None:
    wanted = np.zeros((2, 2, 2), np.uint8)
    visits = [Visit(9.0, [3.0, 2.5], labels=wanted), Visit(8.0, [2.0], peak_bytes=7)]

    got = cell_from_visits(STOPPABLE, model, 64, visits, wanted)

    assert (got.seconds, got.warm, got.first_s, got.peak_bytes, got.agreement) == (2.0, True, 8.0, 7, 1.0)


def test_a_first_run_alone_is_marked(model: Model) -> None:
    got = cell_from_visits(STOPPABLE, model, 64, [Visit(80.0)], None)

    assert table_row(got, {})[3] == "80¹"


def test_a_failing_cell_says_why(model: Model) -> None:
    got = cell_from_visits(STOPPABLE, model, 64, [Visit(error="texture 9159 > 8192")], None)

    assert got.status == "failed"
    assert table_row(got, {})[-1] == "failed: texture 9159 > 8192"


def test_agreement_counts_voxels_and_the_worst_label() -> None:
    wanted = np.array([0, 0, 0, 0, 0, 0, 1, 1], np.uint8)
    got = np.array([0, 0, 0, 0, 0, 0, 1, 0], np.uint8)

    assert agreement(got, wanted) == (0.875, pytest.approx(2 / 3))


def test_turns_are_interleaved_and_long_cells_are_visited_once(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.reference", lambda *_: None)
    monkeypatch.setattr("bench.cli._missing", lambda runtime, _: "not here" if runtime.id == "absent" else None)
    runtimes = [replace(STOPPABLE, id=name) for name in ("a", "long", "b", "absent")]
    bench = Bench(Setting(tmp_path, tmp_path, threads=2, cap_s=120), runtimes, rounds=2)
    seen: list[str] = []

    def measure(job: Job) -> Visit:
        seen.append(job.runtime.id)
        return Visit(100.0 if job.runtime.id == "long" else 1.0, [])

    bench.measure = measure
    bench.group(model, 64)

    assert seen == ["a", "long", "b", "a", "b"]
    assert [cell.status for cell in bench.cells] == ["measured", "measured", "measured", "not run"]
    assert bench.cells[-1].note == "not here"


def test_a_call_that_outlasts_the_cap_is_tried_again_with_fewer_layers(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.reference", lambda *_: None)
    monkeypatch.setattr("bench.cli._missing", lambda *_: None)
    bench = Bench(Setting(tmp_path, tmp_path, threads=2, cap_s=120), [ONE_CALL], rounds=2)
    bench.measure = lambda job: Visit(10.0, share=0.1, layers=2) if job.layers else Visit(error="slow", timed_out=True)

    bench.group(model, 64)

    assert (bench.cells[0].status, bench.cells[0].seconds) == ("extrapolated", 100.0)


def test_an_interrupted_group_keeps_what_it_has(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.cli.reference", lambda *_: None)
    monkeypatch.setattr("bench.cli._missing", lambda *_: None)
    runtimes = [replace(STOPPABLE, id=name) for name in ("a", "b")]
    bench = Bench(Setting(tmp_path, tmp_path, threads=2, cap_s=120), runtimes, rounds=2)

    def measure(job: Job) -> Visit:
        if job.runtime.id == "b":
            raise KeyboardInterrupt
        return Visit(1.0)

    bench.measure = measure
    with pytest.raises(KeyboardInterrupt):
        bench.group(model, 64)

    assert [(each.runtime, each.status) for each in bench.cells] == [("a", "measured"), ("b", "not run")]


def test_a_stopped_run_keeps_the_current_visit_and_ends(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.reference", lambda *_: None)
    monkeypatch.setattr("bench.cli._missing", lambda *_: None)
    runtimes = [replace(STOPPABLE, id=name) for name in ("a", "b")]
    bench = Bench(Setting(tmp_path, tmp_path, threads=2, cap_s=120), runtimes, rounds=2)

    def measure(job: Job) -> Visit:
        bench.stop()
        return Visit(1.0)

    bench.measure = measure
    with pytest.raises(KeyboardInterrupt):
        bench.group(model, 64)

    assert [(each.runtime, each.status) for each in bench.cells] == [("a", "measured"), ("b", "not run")]
    with pytest.raises(KeyboardInterrupt):
        bench.stop()


# --- targets ---


def test_ratios_say_whether_the_target_is_reached() -> None:
    cells = [cell("cpu", 1.0, peak_bytes=50), cell("ort-wasm", 3.0, peak_bytes=100), cell("ort-python", 0.9)]

    lines = check_targets(cells, [], ["cpu"])

    speed = line(lines, "CPU over onnxruntime-web WASM")
    assert (speed.value, speed.outcome, speed.where) == (3.0, "reached", "64³, 5 channels")
    assert line(lines, "CPU in the browser over onnxruntime in Python").outcome == "not reached"
    memory = line(lines, "CPU's peak memory over onnxruntime-web WASM's")
    assert (memory.value, memory.outcome) == (0.5, "reached")
    others = [each.value for each in lines if each.outcome == "not in this run"]
    assert others
    assert set(others) == {None}


def test_a_ratio_to_an_estimated_cell_says_so() -> None:
    cells = [cell("webgpu", 1.0), cell("tfjs-webgpu", 90.0, status="extrapolated")]

    got = line(check_targets(cells, [], []), "WebGPU over TF.js WebGPU, SwiftShader")

    assert (got.value, got.note) == (90.0, "estimated cell")


def test_every_backend_of_meshnet_predict_is_measured_and_its_own_kernel_has_a_target() -> None:
    ids = [runtime.id for runtime in all_runtimes() if runtime.engine.startswith("predict:")]
    assert ids == ["predict-native", "predict-onnx", "predict-torch"]

    lines = check_targets([cell("predict-native", 1.0), cell("ort-python", 1.2)], [], [])

    assert line(lines, "meshnet-predict's own kernel over onnxruntime").outcome == "not reached"


def test_a_cell_that_a_target_wants_run_to_its_end_gets_five_caps(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.reference", lambda *_: None)
    monkeypatch.setattr("bench.cli._missing", lambda *_: None)
    wide = model.spec.model_copy(update={"architecture": FIVE.model_copy(update={"channels": 16})})
    sixteen = replace(model, spec=wide)
    runtimes = [replace(STOPPABLE, id=name) for name in ("webgpu", "webgl2", "webgl2-llvmpipe", "deno-f16")]
    bench = Bench(Setting(tmp_path, tmp_path, threads=2, cap_s=60), runtimes, rounds=1)
    caps: list[float | None] = []

    def measure(job: Job) -> Visit:
        caps.append(job.cap_s)
        return Visit(1.0)

    bench.measure = measure
    for made, size in ((sixteen, 256), (sixteen, 128), (model, 256)):
        bench.group(made, size)

    assert caps == [300, 60, 300, 300] + 8 * [60]
    assert must_finish("cpu", 26, 256)


def test_labels_are_held_to_what_the_storage_allows() -> None:
    cells = [
        cell("cpu", 1, agreement=1.0, dice_min=1.0),
        cell("half", 1, agreement=0.9995, dice_min=0.996),
        cell("peer", 1, agreement=0.1, dice_min=0.1),
    ]

    whole, half = check_targets(cells, ["half"], ["cpu", "half"])[-2:]
    assert (whole.outcome, whole.value, half.outcome, half.value) == ("reached", 1.0, "reached", 0.9995)
    whole, half = check_targets(cells, [], ["cpu", "half"])[-2:]
    assert (whole.outcome, whole.note, half.outcome) == ("not reached", "half meshnet-5 64³", "not in this run")


# --- models ---


def test_random_networks_have_sane_activations_and_both_labels(tmp_path: Path) -> None:
    import torch

    from bench.inputs import CALIBRATION_SIZE, volume
    from meshnet.model.network import model_from

    made = paper_model(5, tmp_path)
    network = model_from(made.architecture, made.weights)

    with torch.no_grad():
        x = torch.from_numpy(volume(CALIBRATION_SIZE))[None, None]
        for layer in network.layers:
            x = layer(x)
            assert 0.1 < x.std() < 3
        share = network.classifier(x).argmax(1).float().mean()
    assert 0.2 < share < 0.4
    config, _ = brainchop_files(made)
    assert len(json.loads(config.read_text())["layers"]) == 10


# --- command line ---


def test_an_unknown_runtime_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "gpu"])

    assert "gpu given; runtimes are webgpu, tfjs-webgpu" in capsys.readouterr().err
