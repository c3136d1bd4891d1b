"""Settings: the defaults are the paper's, and a mistake is an error that says what to do next."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from meshnet.train.cli import main
from meshnet.train.config import compose_config
from meshnet.train.networks import architecture_of


def test_every_default_of_the_recipe_is_the_papers() -> None:
    config = compose_config(["model=meshnet26"])
    optimizer, schedule, loss, trainer = config.optimizer, config.schedule, config.loss, config.trainer
    assert (optimizer.kind, optimizer.lr, optimizer.weight_decay, optimizer.eps) == ("adamw", 1e-3, 3e-5, 1e-4)
    assert (schedule.warmup, schedule.div_factor) == (0.01, 100)  # from lr / 100
    assert (loss.label_smoothing, loss.class_weights, loss.dice) == (0.01, [0.5, 1.0], 0.0)
    assert trainer.epochs == 50
    assert (trainer.devices, trainer.nodes) == (1, 1)  # one volume per device and step: batch 1
    assert trainer.precision == "auto"  # half precision on CUDA
    assert trainer.gradient_clip == 0  # none in the paper
    assert (trainer.ema_decay, trainer.stop_at_step, trainer.freeze_norm_after) == (0, 0, 1.0)
    assert config.data.orientation == "LIA"
    assert config.data.inner_fold is None  # the final models train on all inner folds
    assert config.model.dilations == [1, 2, 4, 8, 16, 16, 8, 4, 2]
    assert (config.model.channels, config.model.activation, config.model.norm) == (26, "relu", "batch")


def test_the_shipped_recipes_still_clip_gradients() -> None:
    for recipe in ("tissue", "t2-lesion"):
        text = (Path(__file__).parents[2] / "meshnet" / "conf" / "recipe" / f"{recipe}.yaml").read_text()
        assert "gradient_clip: 1.0" in text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+lr=0.1", "+lr=0.1: no setting is named lr; did you mean optimizer.lr?"),
        ("lr=0.1", "lr=0.1: no setting is named lr; did you mean optimizer.lr?"),
        (
            "+optimizer.learning_rate=0.1",
            "no setting is named optimizer.learning_rate; did you mean optimizer.lr?",
        ),
        ("+foo.bar=1", "+foo.bar=1: no setting is named foo.bar; meshnet-train --print-config prints all of them"),
        ("~optimizer.lr", "~optimizer.lr: a setting can't be removed; expected optimizer.lr=VALUE"),
        ("trainer.epochs", "trainer.epochs: expected trainer.epochs=VALUE"),
        ("data=typo", "data=typo: no such folder; expected one written by meshnet-prepare, or one of prepared"),
        ("data=synth_lesoin", "did you mean synth_lesion?"),
        ("model=meshnet62", "model=meshnet62: expected model= one of mednext-b"),
        ("data.inner_fold=7", "data.inner_fold=7: expected 0..2, or null to train on all inner folds"),
        ("trainer.epochs=abc", "trainer.epochs=abc: expected a whole number, got 'abc'"),
        ("trainer.epochs=0", "trainer.epochs=0: expected 1 or more"),
        ("trainer.stop_after_s=-1", "trainer.stop_after_s=-1: expected seconds, or 0 for no limit"),
        ("data.prefetch=0", "data.prefetch=0: expected 1 or more items"),
        ("data.workers=-1", "data.workers=-1: expected 0 or more processes, or null for the default"),
        ("optimizer.lr=fast", "optimizer.lr=fast: expected a number, got 'fast'"),
        ("optimizer.lr=-1", "optimizer.lr=-1: expected a number above 0"),
        ("schedule.warmup=2", "schedule.warmup=2: expected a fraction of all steps above 0 and below 1"),
        ("loss.label_smoothing=1", "loss.label_smoothing=1: expected 0 or more, and less than 1"),
        ("loss.class_weights=[1]", "expected 2 weights of 0 or more, not all 0, one for each of the labels background"),
        ("loss.class_weights=[0,0]", "loss.class_weights=[0.0, 0.0]: expected 2 weights of 0 or more, not all 0"),
        ("optimizer.lr=inf", "optimizer.lr=inf: expected a number above 0"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay=-1: expected 0 or more"),
        ("restart=-1", "restart=-1: expected 0 or more"),
        ("trainer.threads=-1", "trainer.threads=-1: expected a number from 0 (PyTorch's choice) to 1024"),
        ("trainer.gradient_clip=nan", "trainer.gradient_clip=nan: expected 0 or more"),
        ("trainer.freeze_norm_after=2", "trainer.freeze_norm_after=2: expected a number from 0 to 1"),
        ("data.lesion_probability=1.5", "data.lesion_probability=1.5: expected a number from 0 to 1"),
        ("trainer.precision=half", "trainer.precision=half: expected one of auto, 32-true"),
        ("loss.class_weights=[a]", "loss.class_weights=[a]: expected a list of numbers such as [1,2], got ['a']"),
        ("trainer.accelerator=cuda", "trainer.accelerator=cuda: PyTorch finds no GPU here; use trainer=cpu"),
        ("trainer.threads=1000000", "trainer.threads=1e+06: expected a number from 0"),
        ("model.dilations=[]", "model.dilations=[]: expected one whole number from 1 to 64 for each of 1 to 64"),
        (
            "model.dilations=[0]",
            "model.dilations=[0]: expected one whole number from 1 to 64 for each of 1 to 64 layers",
        ),
        ("model.dilations=[1,2", "model.dilations=[1,2: cannot be read; expected a list of whole numbers such as"),
        ("id=''", "id=: expected 1 to 64 lower-case letters, digits, '.', '_' or '-', a letter or digit first"),
        ("id=../x", "id=../x: expected 1 to 64 lower-case letters"),
        ("id='A B'", "id=A B: expected 1 to 64 lower-case letters"),
        ("name=''", "name=: expected 1 to 100 characters, got 0"),
        ("=3", "=3: expected KEY=VALUE; meshnet-train --print-config prints all keys"),
        ("++optimizer.lr.x=1", "++optimizer.lr.x=1: no setting is named optimizer.lr.x; did you mean optimizer.lr?"),
        ("model.activation=swish", "model.activation=swish: expected one of relu, elu, gelu, gelu_tanh"),
        ("model.norm=layer", "model.norm=layer: expected one of none, batch, group"),
        ("model.kind=unet", "model.kind=unet: expected one of meshnet, segresnet"),
        ("model.channels=600", "model.channels=600: expected a number from 1 to 512"),
        ("model.dilations=[100]", "model.dilations=[100]: expected one whole number from 1 to 64 for each of"),
        ("model.init_sha256=zz", "model.init_sha256=zz: expected 64 digits of 0-9 and a-f, or '' for any weights"),
        ("data.orientation=XYZ", "data.orientation=XYZ: expected one letter of each pair L/R, P/A and I/S"),
        ("data.orientation=LRA", "data.orientation=LRA: expected one letter of each pair L/R, P/A and I/S"),
        ("data.labels=[a]", "data.labels=['a']: expected 2 to 256 names of 1 to 100 characters"),
        ("data.labels=a", "data.labels=a: expected a list of texts such as [a,b], got 'a'"),
        ("data.source=toy", "data.source=toy: expected one of prepared, synth, synth_heads"),
        ("data.device=tpu", "data.device=tpu: expected cpu or cuda"),
        ("data.lesions=3", "data.lesions=3: expected a folder of lesion masks, or a list such as [A,B]"),
        ("data.stages=[{stepz:1}]", "expected a list of stages such as [{steps:1000,size:[96,96,96],"),
        ("data.stages=[{steps:0}]", "data.stages[0].steps=0: expected 1 or more"),
        ("data.stages=[{size:[8]}]", "data.stages[0].size=[8]: expected voxels along three axes, such as [96,96,96]"),
        ("data.stages=[{voxel_size_mm:[0,1]}]", "data.stages[0].voxel_size_mm=[0.0, 1.0]: expected two sizes above 0"),
        ("data.contrasts.T2w=much", "data.contrasts.T2w=much: expected a number, got 'much'"),
        ("+data.contrasts.T2w=-1", "data.contrasts={'T2w': -1.0}: expected weights of 0 or more, not all 0"),
        ("data.contrasts=3", "data.contrasts=3: expected weights by contrast such as {T2w:1.0}, got 3"),
        ("data.eye_of_fluid=[2,1]", "data.eye_of_fluid=[2.0, 1.0]: expected two numbers of 0 or more, the lower"),
        ("data.margin_mm=-1", "data.margin_mm=-1: expected 0 or more"),
        ("data.rotation_deg=inf", "data.rotation_deg=inf: expected degrees from 0 to 180"),
        ("data.lesion_size_power=nan", "data.lesion_size_power=nan: expected a finite number"),
        ("optimizer.kind=sgd", "optimizer.kind=sgd: expected one of adamw, muon"),
        ("trainer.accelerator=tpu", "trainer.accelerator=tpu: expected one of auto, cpu, cuda"),
    ],
)
def test_a_mistake_in_an_override_is_an_error_in_one_line(
    override: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([override, "--print-config"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert said.startswith("meshnet-train: ")


def test_every_network_within_the_limits_can_be_described() -> None:
    ends = ["model.channels=512", "model.activation=gelu_tanh", "model.norm=group", "data.orientation=SAR"]
    config = compose_config([*ends, f"model.dilations={[64] * 64}".replace(" ", ""), "data.contrasts.T2w=0.5"])
    architecture = architecture_of(config)
    assert (architecture.channels, architecture.dilations, architecture.norm.kind) == (512, (64,) * 64, "group")
    assert config.data.contrasts == {"T2w": 0.5}


def test_a_run_without_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["trainer=cpu"]) == 2
    assert "data.folder: not set; pass a folder written by meshnet-prepare, as data=FOLDER" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("prepared", "holds prepared data (index.csv), no training run; use another run=FOLDER"),
        ("model", "holds a model (model.json), no training run; use another run=FOLDER"),
        ("file", "is a file; expected a folder, or one that doesn't exist yet"),
        ("file/below", "file is a file; expected a folder, or one that doesn't exist yet"),
        ("run", "config.yaml: cannot be read ("),
    ],
)
def test_a_run_folder_of_another_kind_is_refused_and_left_as_it_is(
    other: str, said: str, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("prepared/index.csv", "model/model.json", "run/state.pt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("{}")
    (tmp_path / "run" / "config.yaml").write_text("a: [1")
    (tmp_path / "file").write_text("text")
    before = sorted(tmp_path.rglob("*"))
    assert main([f"data={prepared}", "trainer=cpu", f"run='{tmp_path / other}'"]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert len(message.splitlines()) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", [b"text", b"PK\x03\x04 text"])
def test_a_file_that_holds_no_packed_masks_is_an_error(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "masks.npz"
    file.write_bytes(content)
    assert main(["data=synth_lesion", "trainer=cpu", f"data.lesions=['{file}']", f"run='{tmp_path / 'run'}'"]) == 2
    assert f"{file}: holds no packed lesion masks; expected a folder of masks" in capsys.readouterr().err


def test_a_plus_before_a_known_setting_changes_nothing_and_contrasts_can_be_added() -> None:
    assert compose_config(["+optimizer.lr=0.25"]).optimizer.lr == 0.25
    assert compose_config(["+data.contrasts.T2w=0.5"]).data.contrasts == {"T2w": 0.5}


@pytest.mark.parametrize(
    ("overrides", "folder"),
    [
        (["model=meshnet26", "fold=1", "restart=3"], "runs/stroke-lesion/meshnet26/fold1-restart3"),
        (["model=vnet"], "runs/stroke-lesion/vnet/fold0-restart0"),
        (["model.activation=elu"], "runs/stroke-lesion/meshnet5-elu/fold0-restart0"),
        (["model.dilations=[1,2,1]", "id=x"], "runs/x/meshnet5-1.2.1/fold0-restart0"),
        (["run=here"], "here"),
    ],
)
def test_the_default_run_folder_carries_the_models_name(overrides: list[str], folder: str) -> None:
    assert compose_config(overrides).run == folder


def test_a_successful_run_prints_its_result_off_a_terminal(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    small = ["model.channels=3", "model.dilations=[1,2,1]", "trainer=cpu", "trainer.threads=1", "trainer.epochs=1"]
    threads = torch.get_num_threads()
    try:
        assert main([*small, f"data={prepared}", f"run='{run}'", "data.inner_fold=0"]) == 0
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    assert re.fullmatch(
        rf"{run}: \d+ steps, validation Dice 0\.\d{{3}}(; collapsed: [a-z ]+)?; model in {run}/last\n", said
    )
