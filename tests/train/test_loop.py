"""meshnet-train: files of a run, refused settings, and the same weights after a kill."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor, nn

from meshnet.model.checkpoint import load_checkpoint
from meshnet.train.cli import main
from meshnet.train.config import ConfigError, compose_config
from meshnet.train.items import Item, Source
from meshnet.train.loop import Run, _step, train
from meshnet.train.memory import bytes_needed, check_memory
from meshnet.train.networks import build_network
from meshnet.train.run_folder import is_finished
from meshnet.train.sources import open_source
from tests.helpers.paths import script

pytestmark = pytest.mark.usefixtures("threads_restored")

SMALL = ["model.channels=3", "model.dilations=[1,2,1]", "trainer=cpu", "trainer.threads=1", "trainer.log_every=1"]


def command(prepared: Path, run: Path, *more: str) -> list[str]:
    return [*SMALL, f"data={prepared}", f"run='{run}'", "trainer.epochs=2", *more]


@pytest.fixture(scope="module")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert main(command(prepared, run, "data.inner_fold=0")) == 0
    return run


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights_of_run(run: Path, which: str = "last") -> dict[str, NDArray[np.float32]]:
    return dict(load_checkpoint(run / which)[1])


def test_a_run_leaves_its_configuration_log_and_models(prepared: Path, whole: Path) -> None:
    config = compose_config(command(prepared, whole, "data.inner_fold=0"))
    assert OmegaConf.to_container(OmegaConf.load(whole / "config.yaml")) == OmegaConf.to_container(
        OmegaConf.structured(config), resolve=True
    )
    log = log_of(whole)
    assert [int(row["step"]) for row in log] == list(range(1, open_source(config).steps + 1))
    assert all(np.isfinite(float(row["loss"])) for row in log)
    assert 0 <= float(log[-1]["dice"]) <= 1
    assert any((whole / "tensorboard").iterdir())
    assert (whole / "state.pt").is_file()


def test_both_models_say_where_they_come_from(prepared: Path, whole: Path) -> None:
    best = max(float(row["dice"]) for row in log_of(whole) if row["dice"])
    scores = {"best": best, "last": float(log_of(whole)[-1]["dice"])}
    for name, score in scores.items():
        spec, _ = load_checkpoint(whole / name)
        assert (spec.architecture.channels, spec.architecture.dilations) == (3, (1, 2, 1))
        assert [label.name for label in spec.labels] == ["background", "lesion"]
        assert (spec.input.size, spec.input.voxel_size_mm, spec.input.orientation) == ((20, 20, 20), 9.0, "LIA")
        assert spec.provenance.command.startswith("meshnet-train model.channels=3")
        assert "prepared cases of prepared, all but outer fold 0" in spec.provenance.data
        assert spec.provenance.commit
        assert spec.metrics["validation_dice"] == pytest.approx(score, abs=1e-4)


def test_a_run_without_validation_claims_no_score(prepared: Path, tmp_path: Path) -> None:
    assert main(command(prepared, tmp_path / "run", "trainer.epochs=1")) == 0
    assert load_checkpoint(tmp_path / "run" / "last")[0].metrics == {}


def test_a_run_killed_at_any_moment_and_started_again_ends_with_the_same_weights(
    prepared: Path, whole: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    # the steps are slow, so that the kill happens in the middle of the run
    arguments = command(prepared, run, "data.inner_fold=0", "trainer.save_every_s=0")
    slow = (
        "import sys, time; from meshnet.train import cli, loop; step = loop._step;"
        "loop._step = lambda *a: (time.sleep(0.3), step(*a))[1]; sys.exit(cli.main(sys.argv[1:]))"
    )
    process = subprocess.Popen([sys.executable, "-c", slow, *arguments], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 300
    while not (run / "state.pt").is_file() or len(log_of(run)) < 3:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = int(torch.load(run / "state.pt", weights_only=False)["step"])
    assert 0 < done < len(log_of(whole))

    assert main(arguments) == 0
    for which in ("last", "best"):
        resumed, uninterrupted = weights_of_run(run, which), weights_of_run(whole, which)
        assert resumed.keys() == uninterrupted.keys()
        for name, tensor in uninterrupted.items():
            np.testing.assert_array_equal(resumed[name], tensor, err_msg=name)
    assert log_of(run) == log_of(whole)


def test_a_run_with_muon_goes_on_exactly_where_it_stopped(prepared: Path, tmp_path: Path) -> None:
    for run in ("whole", "parts"):
        arguments = command(prepared, tmp_path / run, "optimizer=muon", "data.inner_fold=0")
        config = compose_config(arguments)
        if run == "parts":
            train(config, command="first epoch", until_epoch=1)
        train(config, command="the rest")
    for name, tensor in weights_of_run(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights_of_run(tmp_path / "parts")[name], tensor, err_msg=name)


def test_a_kill_before_the_first_save_or_log_line_does_no_harm(prepared: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "early"
    run.mkdir()
    (run / "log.csv").write_text("step,loss,lr,dice\n1,0.5,0.1,\n")  # of a run killed before its first save
    assert main(command(prepared, run, "data.inner_fold=0")) == 0
    assert log_of(run) == log_of(whole)
    (run / "log.csv").write_text("")  # the header was not on disk yet when the state was
    assert main(command(prepared, run, "data.inner_fold=0")) == 0
    for name, tensor in weights_of_run(whole).items():
        np.testing.assert_array_equal(weights_of_run(run)[name], tensor)


def test_a_run_is_not_resumed_with_other_settings(
    prepared: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(prepared, whole, "data.inner_fold=0", "optimizer.lr=0.5")) == 2
    assert "optimizer.lr was 0.001, now 0.5; use another run=FOLDER" in capsys.readouterr().err
    assert main(command(prepared, whole, "data.inner_fold=0", "trainer.save_every_s=7")) == 0


def test_a_run_is_not_resumed_on_other_cases(
    prepared: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    shutil.copytree(whole, again)
    cases = json.loads((again / "cases.json").read_text())
    (again / "cases.json").write_text(json.dumps(["sub-new", *cases[1:]]))
    (again / "config.yaml").write_text((again / "config.yaml").read_text().replace(str(whole), str(again)))
    assert main(command(prepared, again, "data.inner_fold=0")) == 2
    assert "2 cases came into the training set or left it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.learning_rate=1", "learning_rate"),
        ("optimizr.lr=1", "optimizr"),
        ("model=meshnet7", "model=meshnet7: expected model= one of"),
        ("optimizer.lr=fast", "fast"),
        ("fold=3", "fold: expected 0..2, got 3"),
        ("data=/nowhere/prepared", "/nowhere/prepared: no such folder"),
        ("@/nowhere/winner.txt", "/nowhere/winner.txt: cannot read overrides"),
        ("model.norm=layer", "model.norm=layer: expected one of none, batch, group"),
    ],
)
def test_a_configuration_that_cannot_run_is_refused(
    prepared: Path, tmp_path: Path, override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command(prepared, tmp_path / "run"), override]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_that_meshnet_prepare_did_not_write_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, f"data={tmp_path}"]) == 2
    assert "no index.csv; expected a folder written by meshnet-prepare" in capsys.readouterr().err


def test_a_gpu_too_small_is_refused_with_the_bytes_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose_config(["model=meshnet26"])
    properties = type("Properties", (), {"total_memory": 4 * 2**30})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Small GPU")
    needed = bytes_needed(config, (256, 256, 256))
    # 14 half-precision tensors of 26 channels, and the logits with their gradient in float32
    assert needed == 256**3 * (14 * 26 * 2 + 2 * 4 * 2)
    with pytest.raises(MemoryError, match=f"Small GPU has 4,294,967,296 bytes, .* needs at least {needed:,}"):
        check_memory(config, (256, 256, 256), torch.device("cuda"))
    check_memory(config, (32, 32, 32), torch.device("cuda"))


def test_a_loss_that_is_not_finite_stops_the_run_with_a_reason(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(prepared, tmp_path / "run", "model.norm=none", "optimizer.lr=1e30", "schedule.warmup=0.5")
    assert main([*arguments, "optimizer.eps=1e-8"]) == 2
    assert "lower optimizer.lr" in capsys.readouterr().err


def test_checkpointing_activations_changes_neither_gradients_nor_running_statistics() -> None:
    states = []
    image = torch.rand(1, 1, 9, 8, 7, generator=torch.Generator().manual_seed(0))
    for kept in ("true", "false"):
        torch.manual_seed(1)
        network = build_network(compose_config([*SMALL, f"trainer.checkpoint_activations={kept}"])).train()
        network(image).square().mean().backward()
        names = [name.removeprefix("network.") for name, _ in network.named_parameters()]
        gradients = dict(zip(names, (p.grad for p in network.parameters()), strict=True))
        statistics = {n.removeprefix("network."): b for n, b in network.named_buffers() if "running" in n}
        states.append(gradients | statistics)
    assert any("running_mean" in name for name in states[0])
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


@pytest.mark.parametrize("model", ["segresnet", "vnet"])  # instance norm; BatchNorm and dropout
def test_checkpointing_a_baseline_changes_neither_gradients_nor_statistics_nor_names(model: str) -> None:
    states = []
    image = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    for kept in ("true", "false"):
        torch.manual_seed(1)
        config = compose_config([f"model={model}", f"trainer.checkpoint_activations={kept}"])
        network = build_network(config, (32, 32, 32)).train()
        saved: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=saved: (s.append(t.numel()), t)[1], lambda t: t):
            loss = network(image).square().mean()
        loss.backward()
        states.append(
            (
                {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
                | {name: b for name, b in network.named_buffers() if "running" in name},
                sum(saved),
            )
        )
    assert states[0][0].keys() == states[1][0].keys()
    for name, tensor in states[0][0].items():
        torch.testing.assert_close(tensor, states[1][0][name], rtol=1e-4, atol=1e-6, msg=name)
    assert states[0][1] < 0.4 * states[1][1]


def test_two_devices_take_a_volume_each_in_every_step(prepared: Path, tmp_path: Path) -> None:
    devices = ["trainer.devices=2", "trainer.strategy=ddp"]
    arguments = command(prepared, tmp_path / "run", "data.inner_fold=0", *devices)
    program = [script("meshnet-train"), *arguments]
    result = subprocess.run(program, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    one_device = open_source(compose_config(arguments)).steps
    assert [int(row["step"]) for row in log_of(tmp_path / "run")] == list(range(1, -(-one_device // 2) + 1))
    assert is_finished(tmp_path / "run")
    assert set(weights_of_run(tmp_path / "run")) == set(build_network(compose_config(SMALL)).state_dict()) - {
        name for name in build_network(compose_config(SMALL)).state_dict() if name.endswith("num_batches_tracked")
    }


def test_a_step_over_several_volumes_halves_the_steps_and_resumes_to_the_same_weights(
    prepared: Path, whole: Path, tmp_path: Path
) -> None:
    arguments = ["data.inner_fold=0", "trainer.batch_size=2"]
    for run in ("whole", "parts"):
        config = compose_config(command(prepared, tmp_path / run, *arguments))
        if run == "parts":
            train(config, command="first epoch", until_epoch=1)
        train(config, command="the rest")
    assert len(log_of(tmp_path / "whole")) == -(-len(log_of(whole)) // 2)
    for name, tensor in weights_of_run(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights_of_run(tmp_path / "parts")[name], tensor, err_msg=name)
    with pytest.raises(ConfigError, match=r"trainer\.batch_size was 2, now 1"):
        train(compose_config(command(prepared, tmp_path / "whole", "data.inner_fold=0")), command="test")


def test_a_batch_of_the_same_volume_twice_is_a_step_of_one(prepared: Path, tmp_path: Path) -> None:
    """The gradient of the mean loss: with BatchNorm at its running statistics, both runs have the same weights."""
    weights = []
    for size in (1, 2):
        run = tmp_path / str(size)
        settings = [f"trainer.batch_size={size}", "trainer.freeze_norm_after=0", "trainer.stop_at_step=3"]
        config = compose_config(command(prepared, run, "trainer.epochs=12", *settings))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "meshnet.train.loop.open_source", lambda config: OneItem(open_source(config), config.trainer.batch_size)
            )
            train(config, command="test")
        weights.append(weights_of_run(run))
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(weights[1][name], tensor, rtol=1e-4, atol=1e-6, err_msg=name)


class OneItem:
    """A source that always gives its first item, for 1000 steps whatever the batch."""

    def __init__(self, source: Source, batch_size: int) -> None:
        self._source = source
        self.size, self.voxel_size_mm, self.cases = source.size, source.voxel_size_mm, source.cases
        self.steps = self.steps_per_epoch = 1000 * batch_size
        self.description = source.description

    def item(self, step: int) -> Item:
        return self._source.item(0)

    def validation_count(self) -> int:
        return 0

    def validation_item(self, index: int) -> Item:
        raise NotImplementedError


def test_a_batch_over_stages_of_different_sizes_is_refused() -> None:
    stages = "data.stages=[{steps: 3, size: [20, 20, 20]}, {steps: 3, size: [24, 24, 24]}]"
    with pytest.raises(ConfigError, match=r"batch_size=2: data\.stages change from \[20, 20, 20\] .* after 3 items"):
        compose_config(["data=synth_lesion", stages, "trainer.batch_size=2", "run=x"])
    compose_config(["data=synth_lesion", stages, "trainer.batch_size=3", "run=x"])


def test_a_compiled_run_is_the_same_run(prepared: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "compiled"
    # in a separate process: the compiler raises deprecation warnings
    arguments = command(prepared, run, "data.inner_fold=0", "trainer.compile=true")
    program = [script("meshnet-train"), *arguments]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for name, tensor in weights_of_run(whole).items():
        np.testing.assert_allclose(weights_of_run(run)[name], tensor, rtol=1e-3, atol=1e-4, err_msg=name)


def test_training_continues_from_another_model_of_the_same_width(prepared: Path, whole: Path, tmp_path: Path) -> None:
    start = build_network(compose_config([*SMALL, f"model.init_from='{whole / 'last'}'"]))
    for name, tensor in weights_of_run(whole).items():
        np.testing.assert_array_equal(start.state_dict()[name].numpy(), tensor)
    with pytest.raises(ConfigError, match="expected the same channels and norm"):
        build_network(compose_config([*SMALL, "model.channels=4", f"model.init_from='{whole / 'last'}'"]))


def test_what_a_step_draws_depends_on_its_number_alone(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Baselines draw dropout masks; a resumed run must draw the same ones."""

    def dropout_network(*_: object) -> nn.Module:
        return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Dropout(0.5), nn.Conv3d(4, 2, 1))

    monkeypatch.setattr("meshnet.train.loop.build_network", dropout_network)
    states = []
    for stop in (False, True):
        run = tmp_path / str(stop)
        config = compose_config(command(prepared, run, "model.kind=vnet", "trainer.save_every_s=0"))
        if stop:
            with monkeypatch.context() as patch:
                patch.setattr("meshnet.train.loop._step", stopping_at(3))
                with pytest.raises(KeyboardInterrupt):
                    train(config, command="test")
        train(config, command="test")
        states.append(torch.load(run / "state.pt", weights_only=False)["network"])
    assert json.loads((tmp_path / "True" / "last" / "baseline.json").read_text())["baseline"] == "vnet"
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def stopping_at(step: int) -> Callable[[Run, Tensor, Tensor, Sequence[bool]], Tensor]:
    def stop(run: Run, image: Tensor, labels: Tensor, lesion_only: Sequence[bool]) -> Tensor:
        if run.progress.step == step:
            raise KeyboardInterrupt
        return _step(run, image, labels, lesion_only)

    return stop
