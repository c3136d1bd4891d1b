"""make gpu-report: the arithmetic of its shares, parts that fail alone, and a small run in software."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.deno import build_deno_engine
from bench.gpu.cli import main
from bench.gpu.markdown import markdown
from bench.gpu.parts import Add, Clock, NotHereError, Setting, run_child, run_part
from bench.gpu.peers import run_rows
from bench.gpu.roofline import Layer, Peaks, layer_rows, layers_of, rates
from bench.gpu.training import counts, gpu_test_files
from meshnet.model.spec import PAPER_DILATIONS, Architecture

FIVE = Architecture(channels=5, classes=2, dilations=PAPER_DILATIONS, activation="relu")


def setting(work: Path) -> Setting:
    return Setting(work, 16, 16, ("meshnet-5",), ("meshnet5",), "cpu", 0.001, 0)


def test_a_layer_reads_its_input_once_and_writes_its_output_once() -> None:
    layers = layers_of(FIVE, 1000, 2, fused=False)
    assert [layer.bytes for layer in layers[:2]] == [1000 * (4 + 5 * 2), 1000 * (5 * 2 + 5 * 2)]
    assert layers[1].operations == 2 * 1000 * 27 * 5 * 5
    assert layers[-1].bytes == 1000 * (5 * 2 + 1)


def test_a_fused_classifier_adds_its_operations_and_saves_the_last_activations() -> None:
    plain, fused = (layers_of(FIVE, 1000, 4, fused=fused) for fused in (False, True))
    assert len(fused) == len(plain) - 1
    assert fused[-1].operations == plain[-2].operations + plain[-1].operations
    assert fused[-1].bytes == 1000 * (5 * 4 + 1)


def test_the_time_of_a_fused_classifier_is_that_of_the_last_convolution() -> None:
    timings = [{"name": "prepare", "milliseconds": 9.0}]
    timings += [{"name": "layer", "milliseconds": 5.0, "gpuMilliseconds": 2.0} for _ in FIVE.dilations]
    timings += [{"name": "classifier", "milliseconds": 0.0, "gpuMilliseconds": 0.0}]
    rows = layer_rows(FIVE, 1000, 4, timings, Peaks(1e9, 1e9))
    assert [row["ms"] for row in rows] == [2.0] * 9
    assert rows[-1]["layer"] == "9: dilation 2, classifier"


def test_shares_are_of_the_measured_peaks_and_the_larger_need_is_the_bound() -> None:
    row = rates(Layer("one", operations=2e9, bytes=1e9), 100.0, Peaks(flops=40e9, bytes_per_s=100e9))
    assert row["share_of_flops"] == pytest.approx(0.5)
    assert row["share_of_bytes"] == pytest.approx(0.1)
    assert (row["least_ms"], row["bound"]) == (pytest.approx(50), "operations")
    unknown = rates(Layer("one", 2e9, 1e9), 100.0, Peaks(None, None))
    assert (unknown["share_of_flops"], unknown["share_of_bytes"]) == (None, None)


def test_a_part_that_fails_is_named_with_what_it_had_measured(tmp_path: Path) -> None:
    def breaks(_: Setting, __: Clock, add: Add) -> None:
        add({"network": "small", "size": 8, "checkpointed": False, "seconds": 1.0})
        raise RuntimeError("the driver went away")

    def absent(_: Setting, __: Clock, add: Add) -> None:
        raise NotHereError("not installed: onnxruntime-gpu")

    outcomes = [run_part(*part, setting(tmp_path), 5) for part in (("training", breaks), ("onnxruntime", absent))]
    text = markdown(machine(), outcomes)
    assert "| training | failed: RuntimeError: the driver went away |" in text
    assert "| small | 8³ | kept | 1 |" in text
    assert "| onnxruntime | not run: not installed: onnxruntime-gpu |" in text


def machine() -> dict[str, Any]:
    names = ("date", "commit", "driver", "webgpu", "cpu", "cores", "load", "system", "size", "baseline_size")
    return dict.fromkeys(names, "x") | {"software": True, "gpu": None, "versions": {}}


def test_a_child_that_hangs_is_stopped_at_its_share_of_the_time() -> None:
    ended = run_child([sys.executable, "-c", "import time; time.sleep(60)"], Clock(2.2), environment=os.environ)
    assert ended.why == "stopped after 2 s, its share of the time"


def test_after_a_job_that_kills_the_child_the_next_one_is_measured(tmp_path: Path) -> None:
    """The child dies of the second of three jobs."""
    program = tmp_path / "dying_child.py"
    program.write_text(
        "import json, os, sys\n"
        "with open(sys.argv[3], 'w') as out:\n"
        "    for job in json.load(open(sys.argv[2])):\n"
        "        if job == 2: os.abort()\n"
        "        out.write(json.dumps({'seconds': job}) + '\\n'); out.flush()\n"
    )
    titles = [{"model": str(n)} for n in (1, 2, 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{tmp_path}")
        rows = run_rows(("dying_child", "x"), titles, [1, 2, 3], setting(tmp_path), Clock(60))  # type: ignore[list-item]
    assert [row.get("seconds") for row in rows] == [1, None, 3]
    assert rows[1]["error"].startswith("killed by signal 6")


def test_the_tests_marked_gpu_are_found_and_counted() -> None:
    assert Path("tests/train/test_gpu.py") in gpu_test_files()
    assert Path("tests/bench/test_gpu_report.py") not in gpu_test_files()
    assert counts("..F\n1 failed, 6 passed, 2 skipped in 3.21s") == {"failed": 1, "passed": 6, "skipped": 2}


def test_a_small_report_on_lavapipe_holds_labels_peaks_and_every_layers_time(tmp_path: Path) -> None:
    problem = build_deno_engine()
    if problem is not None:
        pytest.fail(problem)
    only = "--only adapter,pytorch,engine,onnxruntime,tests --models meshnet-5 --size 16 --peak-seconds 0.001"
    assert main([*only.split(), "--out", str(tmp_path), "--budget", "300"]) == 0
    report = json.loads((tmp_path / "gpu-report.json").read_text(encoding="utf-8"))
    parts = {part["name"]: part for part in report["parts"]}
    assert {parts[name]["status"] for name in ("adapter", "pytorch", "engine")} == {"done"}, parts
    assert parts["adapter"]["rows"][0]["flops"] > 1e8
    assert parts["adapter"]["rows"][0]["limits"]["maxBufferSize"] >= 2**28
    float32 = parts["engine"]["rows"][0]
    assert float32["agreement"] == 1
    assert len(float32["layers"]) == len(PAPER_DILATIONS)
    assert all(layer["share_of_flops"] > 0 for layer in float32["layers"])
    text = (tmp_path / "gpu-report.md").read_text(encoding="utf-8")
    if report["machine"]["software"]:
        assert "These figures say nothing about a GPU" in text
        assert "| tests | not run: PyTorch finds no GPU here" in text
