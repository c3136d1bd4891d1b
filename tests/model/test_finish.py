"""meshnet-finish: averages of states and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.infer.run_torch import run_torch
from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.finish import averaged, main, with_threshold
from meshnet.model.graph import build_graph
from meshnet.model.refine import main as refine
from meshnet.model.spec import InputSpec
from tests.helpers.export_models import small_model

RNG = np.random.default_rng(11)


def write_state(folder: Path, **architecture: Any) -> Path:
    """A model of random weights that depend on the length of the folder's name."""
    spec, weights = small_model(folder.name, **architecture)
    save_checkpoint(folder, spec, weights)
    return folder


def labels(folder: Path) -> NDArray[np.uint8]:
    spec, weights = load_checkpoint(folder)
    image = np.random.default_rng(5).random((12, 10, 14), dtype=np.float32)
    return run_torch(build_graph(spec, weights), image, threads=1, on_layer=lambda: None)


def test_states_are_averaged_by_their_shares_and_the_description_says_how(tmp_path: Path) -> None:
    first, second = write_state(tmp_path / "a"), write_state(tmp_path / "other")
    assert main([f"{first}=0.25", f"{second}=0.75", "--id", "both", "-o", str(tmp_path / "both")]) == 0
    spec, weights = load_checkpoint(tmp_path / "both")
    a, b = load_checkpoint(first)[1], load_checkpoint(second)[1]
    for name, array in weights.items():
        np.testing.assert_allclose(array, 0.25 * a[name] + 0.75 * b[name], rtol=1e-6, atol=1e-7)
    assert spec.id == "both"
    assert f"{first}=0.25 {second}=0.75 --threshold 0.5" in spec.provenance.command
    assert spec.metrics == {}


def test_layers_alone_are_averaged_where_the_labels_differ(tmp_path: Path) -> None:
    two, three = write_state(tmp_path / "two", classes=2), write_state(tmp_path / "three-classes")
    command = [f"{two}=0.25", f"{three}=0.75", "--layers-only", "--id", "mean", "-o", str(tmp_path / "mean")]
    assert main(command) == 0
    spec, weights = load_checkpoint(tmp_path / "mean")
    a, b = load_checkpoint(two)[1], load_checkpoint(three)[1]
    assert spec.architecture.classes == 3
    for name, array in weights.items():
        wanted = b[name] if name.startswith("classifier.") else 0.25 * a[name] + 0.75 * b[name]
        np.testing.assert_allclose(array, wanted, rtol=1e-6, atol=1e-7)
    assert "--layers-only" in spec.provenance.command


def test_one_state_at_the_plain_threshold_stays_as_it_is(tmp_path: Path) -> None:
    state = write_state(tmp_path / "a")
    assert main([f"{state}=1", "--id", "same", "-o", str(tmp_path / "same")]) == 0
    np.testing.assert_array_equal(labels(tmp_path / "same"), labels(state))


@pytest.mark.parametrize("threshold", [0.3, 0.73])
def test_a_class_is_called_where_its_share_against_background_is_above_the_threshold(threshold: float) -> None:
    logits = RNG.normal(size=(500, 3))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    best = 1 + probability[:, 1:].argmax(axis=1)
    p = probability[np.arange(500), best]
    wanted = np.where(p / (p + probability[:, 0]) > threshold, best, 0)
    bias = with_threshold({"classifier.bias": np.zeros(3, np.float32)}, threshold)["classifier.bias"]
    np.testing.assert_array_equal((logits + bias).argmax(axis=1), wanted)
    assert len(set(wanted)) == 3


def test_with_tissue_labels_the_threshold_concerns_the_lesion_only() -> None:
    weights = {"classifier.bias": np.zeros(4, np.float32)}
    bias = with_threshold(weights, 0.8, lesions=(3,))["classifier.bias"]
    np.testing.assert_allclose(bias, [0, 0, 0, -np.log(4)], rtol=1e-6)


def test_a_higher_threshold_calls_less_of_a_volume(tmp_path: Path) -> None:
    state = write_state(tmp_path / "a")
    assert main([f"{state}=1", "--threshold", "0.8", "--id", "careful", "-o", str(tmp_path / "careful")]) == 0
    plain, careful = labels(state) > 0, labels(tmp_path / "careful") > 0
    assert 0 < careful.sum() < plain.sum()
    assert not (careful & ~plain).any()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{a}=0.5", "{b}=0.4"], "expected shares that add up to 1, got 0.9"),
        (["{a}"], "expected MODEL_DIR=SHARE, for example runs/tissue/last=0.25"),
        (["{a}=0.5", "{wide}=0.5"], "expected models of one architecture, input and list of labels, got 2"),
        (["{a}=nan"], "a=nan: expected MODEL_DIR=SHARE, for example runs/tissue/last=0.25"),
        (["{a}=1", "--id", "A B"], "--id A B: expected 1 to 64 lower-case letters"),
        (["{a}=1", "--id", ""], "--id '': expected 1 to 64 lower-case letters"),
        (["{a}=1", "-o", "{a}/model.json"], "a/model.json is a file; expected a folder, or one that doesn't exist yet"),
        (["{a}=1", "-o", "{a}/.."], "holds a, no model; choose another folder"),
        (["{a}=1", "--threshold", "1"], "expected a threshold between 0 and 1, got 1.0"),
        (["{bare}=1", "--threshold", "0.6"], "needs a classifier with a bias"),
        (["{a}x=1"], "model.json"),
    ],
)
def test_what_cannot_be_finished_is_refused_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    folders = {"a": write_state(tmp_path / "a"), "b": write_state(tmp_path / "other")}
    folders["wide"] = write_state(tmp_path / "wide", channels=5)
    folders["bare"] = write_state(tmp_path / "bare", classifier_bias=False)
    filled = [argument.format(**folders) for argument in arguments]
    assert main(["--id", "x", "-o", str(tmp_path / "out"), *filled]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_shares_may_be_of_any_number_of_states() -> None:
    states = [({"classifier.bias": np.full(2, value, np.float32)}, 1 / 3) for value in (0.0, 3.0, 6.0)]
    np.testing.assert_allclose(averaged(states)["classifier.bias"], 3.0)


def test_states_that_mean_different_things_are_not_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, turned = write_state(tmp_path / "a"), write_state(tmp_path / "turned")
    spec, weights = load_checkpoint(turned)
    save_checkpoint(
        turned, spec.model_copy(update={"input": InputSpec(size=spec.input.size, orientation="RAS")}), weights
    )
    assert main([f"{first}=0.5", f"{turned}=0.5", "--id", "both", "-o", str(tmp_path / "both")]) == 2
    assert "expected models of one architecture, input and list of labels, got 2" in capsys.readouterr().err
    assert main([f"{first}=0.5", f"{first}=0.5", "--id", "both", "-o", str(tmp_path / "both")]) == 2
    assert "named twice" in capsys.readouterr().err


def test_a_model_that_could_not_be_read_again_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = write_state(tmp_path / "a")
    assert main([f"{state}=1", "--id", "Bad Id", "-o", str(tmp_path / "bad")]) == 2
    assert "--id Bad Id: expected 1 to 64 lower-case letters" in capsys.readouterr().err
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize(
    ("command", "example"),
    [
        (main, "meshnet-finish runs/tissue/frozen/last=0.25 runs/tissue/sulci/last=0.75 --threshold 0.73"),
        (refine, "meshnet-refine COARSE_MODEL_DIR --id t2-lesion -o MODEL_DIR"),
    ],
)
def test_the_help_shows_an_example_on_a_line(
    command: Callable[[list[str]], int], example: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command(["--help"])
    assert f"\n    {example}" in capsys.readouterr().out
