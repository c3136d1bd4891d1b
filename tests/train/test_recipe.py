"""meshnet-train recipe=…: phases in order, resumed to the same weights, and the recipes of the shipped models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.network import weights_of
from meshnet.train import loop
from meshnet.train.cli import compose_all, main
from meshnet.train.config import ConfigError
from meshnet.train.networks import bare
from meshnet.train.recipe import compose_recipe, known_recipes
from tests.helpers.export_models import small_model

pytestmark = pytest.mark.usefixtures("threads_restored")

#: Three phases that use every option of a phase: a length, seeds, a moving average, shares, a threshold, refining.
TINY = """
id: tiny
groups: {trainer: cpu}
settings:
  license: MIT
  model: {channels: 3, dilations: [1, 2, 1], activation: elu}
  trainer: {threads: 1, epochs: 1, save_every_s: 0}
phases:
  first:
    start: nothing
    trainer: {epochs: 2, stop_at_step: 6}
  second:
    start: first
    seeds: [3, 4]
    threshold: 0.6
    trainer: {ema_decay: 0.5}
  third:
    start: second
    seeds: [5]
    optimizer: {lr: 0.002}
    average: {second: 0.25, third: 0.75}
    refine: true
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(TINY)
    return path


def command(recipe: Path, prepared: Path, run: Path, *more: str) -> list[str]:
    return [f"recipe={recipe}", f"data={prepared}", f"run={run}", *more]


def weights_file(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(recipe: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted recipe."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert main(command(recipe, prepared, run)) == 0
    return run


def steps_of(run: Path) -> int:
    """The last step in the log of a run."""
    return int((run / "log.csv").read_text().splitlines()[-1].split(",")[0])


def test_a_recipe_run_twice_from_nothing_gives_the_same_weights(
    recipe: Path, prepared: Path, whole: Path, tmp_path: Path
) -> None:
    assert main(command(recipe, prepared, tmp_path / "again")) == 0
    assert weights_file(tmp_path / "again" / "model") == weights_file(whole / "model")


def test_every_phase_is_a_run_folder_with_the_length_of_the_recipe(whole: Path) -> None:
    assert steps_of(whole / "first") == 6
    for run in ("first", "second/seed3", "second/seed4", "third"):
        assert (whole / run / "finished.json").is_file(), run
    assert steps_of(whole / "second" / "seed3") == steps_of(whole / "third") < 6
    assert weights_file(whole / "second" / "seed3" / "last") != weights_file(whole / "second" / "seed4" / "last")


def test_a_phase_starts_from_the_weights_that_the_phase_before_ended_with(whole: Path) -> None:
    starts = {run: (whole / run / "config.yaml").read_text() for run in ("first", "second/seed4", "third")}
    assert "init_from: ''" in starts["first"]
    for run, before in (("second/seed4", "first/last"), ("third", "second/finished")):
        assert f"init_from: {whole / before}\n" in starts[run]
        assert f"init_sha256: {hashlib.sha256(weights_file(whole / before)).hexdigest()}\n" in starts[run]


def test_the_model_is_averaged_and_refined_and_names_recipe_commit_and_command(
    recipe: Path, prepared: Path, whole: Path
) -> None:
    spec, _ = load_checkpoint(whole / "model")
    assert (spec.id, spec.architecture.dilations, spec.input.size) == ("tiny", (1, 2, 4, 2), (256, 256, 256))
    assert spec.provenance.source == "trained in this project by the recipe tiny"
    assert spec.provenance.command == "meshnet-train " + " ".join(command(recipe, prepared, whole))
    assert spec.provenance.commit == load_checkpoint(whole / "first" / "last")[0].provenance.commit
    cases = load_checkpoint(whole / "first" / "last")[0].provenance.data.removesuffix(
        " prepared cases of prepared, all but outer fold 0"
    )
    assert (
        spec.provenance.data == f"{cases}, {cases}, {cases}, {cases} prepared cases of prepared, all but outer fold 0"
    )
    states = [whole / "second" / "finished", whole / "third" / "last"]
    second, third = (load_checkpoint(state)[1]["classifier.weight"] for state in states)
    assert load_checkpoint(whole / "model")[1]["classifier.weight"] == pytest.approx(0.25 * second + 0.75 * third)


@pytest.mark.parametrize("interrupted_after", [3, 8, 13])  # steps: in the first phase, in both runs of the second
def test_an_interrupted_recipe_goes_on_to_the_same_weights(
    recipe: Path,
    prepared: Path,
    whole: Path,
    tmp_path: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    interrupted_after: int,
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("meshnet.train.loop._step", interrupting(interrupted_after))
        assert main(command(recipe, prepared, run)) == 130
    assert "interrupted; the same command continues from the last saved step" in capsys.readouterr().err
    assert not (run / "model").exists()
    assert main(command(recipe, prepared, run)) == 0
    assert "resumed at step" in capsys.readouterr().out
    assert weights_file(run / "model") == weights_file(whole / "model")


def interrupting(after: int) -> Callable[[loop.Run, Tensor, Tensor, Sequence[bool]], Tensor]:
    """`_step` that raises KeyboardInterrupt in place of step number `after` + 1 of all runs together."""
    counter: Iterator[int] = iter(range(after + 1))
    plain = loop._step

    def step(run: loop.Run, image: Tensor, labels: Tensor, lesion_only: Sequence[bool]) -> Tensor:
        if next(counter) == after:
            raise KeyboardInterrupt
        return plain(run, image, labels, lesion_only)

    return step


def test_a_finished_recipe_trains_nothing_and_writes_the_model_again(
    recipe: Path, prepared: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshnet.train.loop._step", interrupting(0))
    assert main(command(recipe, prepared, whole, f"out={tmp_path / 'model'}")) == 0
    assert weights_file(tmp_path / "model") == weights_file(whole / "model")


def test_the_seeds_of_a_phase_side_by_side_give_the_same_weights(
    recipe: Path, prepared: Path, whole: Path, tmp_path: Path
) -> None:
    assert main(command(recipe, prepared, tmp_path / "run", "jobs=2")) == 0
    assert weights_file(tmp_path / "run" / "model") == weights_file(whole / "model")


def test_another_result_of_an_earlier_phase_is_not_mixed_with_finished_runs(
    recipe: Path, prepared: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = weights_file(whole / "model")
    assert main(command(recipe, prepared, whole, "phases.second.threshold=0.7")) == 2
    assert "third: cannot be resumed: model.init_sha256 was" in capsys.readouterr().err
    assert main(command(recipe, prepared, whole, "optimizer.eps=1e-6")) == 2
    assert "first: cannot be resumed: optimizer.eps was 0.0001, now 1e-06" in capsys.readouterr().err
    assert weights_file(whole / "model") == before
    assert main(command(recipe, prepared, whole)) == 0  # the averaged state of the refused threshold is replaced


def test_the_command_line_overrides_all_phases_or_one(recipe: Path) -> None:
    given = [f"recipe={recipe}", "trainer.epochs=7", "phases.third.trainer.epochs=2", "phases.second.seeds=[1]"]
    composed = compose_recipe([*given, "optimizer=muon", "id=other"])
    epochs = {name: [config.trainer.epochs for config in configs] for name, configs in composed.configs.items()}
    assert epochs == {"first": [7], "second": [7], "third": [2]}
    assert [config.seed for config in composed.configs["second"]] == [1]
    assert composed.configs["third"][0].optimizer.kind == "muon"
    assert composed.configs["third"][0].optimizer.lr == 0.002
    assert composed.configs["third"][0].id == "other"
    assert (composed.folder, composed.out) == (Path("runs/tiny"), Path("runs/tiny/model"))
    one = compose_recipe([f"recipe={recipe}", "phases.third.trainer.epochs=2"]).configs
    assert (one["second"][0].trainer.epochs, one["third"][0].trainer.epochs) == (1, 2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: tiny", "id: Tiny Model", "id: String should match pattern"),
        ("refine: true", "refined: true", "phases.third.refined: Extra inputs are not permitted, got 'True'"),
        ("    start: second\n", "", "phases.third.start: Field required"),
        (
            "start: first",
            "start: third",
            "phases.second.start: expected 'nothing', an earlier phase (first), or a model",
        ),
        ("start: first", "start: models/tiny", "together with the sha256 of its weights file, got 'models/tiny'"),
        ("seeds: [3, 4]", "seeds: [3, 3]", "phases.second.seeds: expected different seeds, got [3, 3]"),
        ("seeds: [3, 4]", "seeds: none", "phases.second.seeds: Input should be a valid tuple, got 'none'"),
        ("second: 0.25", "second: 0.5", "phases.third.average: expected shares that add up to 1, got 1.25"),
        ("{second: 0.25, third", "{fourth: 0.25, third", "expected shares of third and earlier phases (first, second)"),
        ("threshold: 0.6", "threshold: 1.6", "phases.second.threshold: Input should be less than 1, got '1.6'"),
        ("{trainer: cpu}", "{training: cpu}", "groups: expected some of model, data, optimizer, schedule, trainer"),
        (
            "{trainer: cpu}",
            "{trainer: cpus}",
            "trainer=cpus: expected trainer= one of cpu, cuda, default; did",
        ),
        ("{lr: 0.002}", "{rate: 0.002}", "phases.third: Key 'rate' not in 'OptimizerConfig'"),
        ("{lr: 0.002}", "{lr: fast}", "phases.third: Value 'fast' of type 'str' could not be converted to Float"),
        ("channels: 3, ", "channels: 3, init_from: models/tiny, ", "model.init_from: the recipe sets this itself"),
        ("license: MIT", "seed: 3", "seed: the recipe sets this itself; see phases.NAME.seeds"),
        ("license: MIT", "licence: MIT", "licence: expected a setting of model, data"),
        ("trainer: {ema_decay: 0.5}", "model: {kind: vnet}", "a recipe trains a MeshNet on one device"),
        ("  first:", "  model:", "phases.model: expected another name"),
        ("phases:", "phases: [", "not valid YAML"),
    ],
)
def test_a_recipe_that_cannot_be_run_is_refused_with_file_key_and_value(
    tmp_path: Path, prepared: Path, capsys: pytest.CaptureFixture[str], *, old: str, new: str, message: str
) -> None:
    assert old in TINY
    path = tmp_path / "wrong.yaml"
    path.write_text(TINY.replace(old, new))
    assert main(command(path, prepared, tmp_path / "run")) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "recipe=tumour",
            "recipe=tumour: unknown; known are brain, deep, t2-lesion, tissue, or pass the path of a .yaml file",
        ),
        ("recipe=none.yaml", "none.yaml: cannot read the recipe (No such file or directory)"),
        ("phases.fourth.trainer.epochs=2", "expected phases.PHASE.KEY with one of the phases first, second, third"),
        ("phases.second.model.init_from=x", "phases.second.model.init_from: the recipe sets this itself"),
        ("seed=3", "seed: the recipe sets this itself; see phases.NAME.seeds"),
        ("init=models/tiny", "has no fine_tune; choose another recipe, or leave init out"),
        ("jobs=many", "jobs: expected the number of runs at the same time, 1 or more, got 'many'"),
        ("+trainer.epochs=2", "+trainer.epochs=2: expected KEY=VALUE with a recipe"),
        ("trainer.epoch=2", "Key 'epoch' not in 'TrainerConfig'"),
    ],
)
def test_an_override_that_a_recipe_does_not_take_is_refused(
    recipe: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, override: str, message: str
) -> None:
    assert main([*command(recipe, prepared, tmp_path / "run"), override]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def write_pinned(folder: Path, start: Path, sha256: str) -> Path:
    """The tiny recipe, with a pinned model folder as the start of its first phase."""
    path = folder / "pinned.yaml"
    path.write_text(TINY.replace("start: nothing", f"start: {start}\n    sha256: {sha256}"))
    return path


def test_a_start_pinned_by_its_sha256_is_taken_and_another_one_refused(
    prepared: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, weights = load_checkpoint(whole / "first" / "last")
    pinned = save_checkpoint(tmp_path / "other", spec.model_copy(update={"id": "other"}), weights)
    right = write_pinned(tmp_path, tmp_path / "other", pinned.weights.sha256)
    assert main(command(right, prepared, tmp_path / "run", "phases.first.trainer.stop_at_step=1")) == 0
    assert f"init_from: {tmp_path / 'other'}\n" in (tmp_path / "run" / "first" / "config.yaml").read_text()
    wrong = write_pinned(tmp_path, tmp_path / "other", "f0" * 32)
    assert main(command(wrong, prepared, tmp_path / "run2")) == 2
    assert f"the weights to start from must have SHA-256 {'f0' * 32}, got {pinned.weights.sha256}" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "run2").exists()


def test_a_recipe_does_not_start_from_its_own_result(
    prepared: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, _ = load_checkpoint(whole / "model")
    by_id = write_pinned(tmp_path, whole / "model", spec.weights.sha256)
    assert main(command(by_id, prepared, tmp_path / "run")) == 2
    assert "holds a model with id 'tiny', a result of this recipe ('tiny')" in capsys.readouterr().err
    other, weights = small_model("other")
    written = save_checkpoint(tmp_path / "models" / "other", other, weights)
    by_folder = write_pinned(tmp_path, tmp_path / "models" / "other", written.weights.sha256)
    assert main(command(by_folder, prepared, tmp_path / "run", f"out={tmp_path / 'models' / 'other'}")) == 2
    assert "a result of this recipe" in capsys.readouterr().err


def test_a_folder_that_every_phase_needs_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe=t2-lesion", f"run={tmp_path}", "trainer.threads=0"]) == 2
    assert "data.lesions: not set; pass folders of lesion masks" in capsys.readouterr().err
    assert main(["trainer=cpu"]) == 2
    assert "data.folder: not set; pass a folder written by meshnet-prepare" in capsys.readouterr().err


def test_the_shipped_models_have_recipes_that_start_from_nothing_or_from_one_another() -> None:
    assert known_recipes() == ["brain", "deep", "t2-lesion", "tissue"]
    brain = compose_recipe(["recipe=brain"]).recipe.phases
    assert [phase.start for phase in brain.values()] == ["models/t2-lesion", "heads"]
    deep = compose_recipe(["recipe=deep"]).recipe.phases
    assert [phase.start for phase in deep.values()] == ["models/brain", "heads"]
    for name in ("t2-lesion", "tissue"):
        composed = compose_recipe([f"recipe={name}"])
        assert composed.recipe.id == name
        phases = list(composed.recipe.phases.values())
        assert [phase.start for phase in phases] == ["nothing", *list(composed.recipe.phases)[:-1]]
        assert not any(phase.sha256 for phase in phases)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("t2-lesion", [7000, 3000, 1500, 2400, 3000, 3000, 4500, 1505, 1200, 220, 4844]),
        ("tissue", [2050, 1250, 620, 850, 1100, 750, 1000, 850, 258]),
        ("brain", [1825, 795]),
        ("deep", [1946, 472]),
    ],
)
def test_the_phases_of_a_shipped_model_have_the_lengths_it_was_trained_with(name: str, steps: list[int]) -> None:
    lengths = [
        config.trainer.stop_at_step or sum(stage.steps for stage in config.data.stages)
        for config in compose_all([f"recipe={name}"])
    ]
    assert lengths == steps


def test_print_config_prints_every_run_of_a_recipe(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"recipe={recipe}", "--print-config"]) == 0
    assert capsys.readouterr().out.count("\nrun: runs/tiny/") == 4


def test_a_decay_and_a_last_step_outside_their_ranges_are_refused(prepared: Path, tmp_path: Path) -> None:
    settings = [f"data={prepared}", "trainer=cpu", f"run='{tmp_path}/run'"]
    with pytest.raises(ConfigError, match=r"trainer\.ema_decay=1: expected a decay below 1 such as 0\.999"):
        compose_all([*settings, "trainer.ema_decay=1"])
    with pytest.raises(ConfigError, match=r"trainer\.stop_at_step=-1: expected a step, or 0 for all"):
        compose_all([*settings, "trainer.stop_at_step=-1"])


def test_the_moving_average_of_the_weights_is_what_a_run_saves(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[dict[str, NDArray[np.float32]]] = []
    plain = loop._step

    def step(run: loop.Run, image: Tensor, labels: Tensor, lesion_only: Sequence[bool]) -> Tensor:
        value = plain(run, image, labels, lesion_only)
        states.append({name: array.copy() for name, array in weights_of(bare(run.network)).items()})
        return value

    monkeypatch.setattr("meshnet.train.loop._step", step)
    network = ["model.channels=3", "model.dilations=[1,2,1]", "trainer=cpu", "trainer.checkpoint_activations=true"]
    settings = [f"data={prepared}", f"run='{tmp_path}/run'", "trainer.epochs=2", "trainer.ema_decay=0.75", *network]
    loop.train(compose_all(settings)[0], command="test")
    average = states[0]
    for state in states[1:]:
        average = {name: 0.75 * array + 0.25 * state[name] for name, array in average.items()}
    saved = load_checkpoint(tmp_path / "run" / "last")[1]
    assert len(states) > 4
    for name, array in average.items():
        np.testing.assert_allclose(saved[name], array, rtol=1e-5, atol=1e-7, err_msg=name)
    assert np.abs(saved["classifier.weight"] - states[-1]["classifier.weight"]).max() > 1e-5
