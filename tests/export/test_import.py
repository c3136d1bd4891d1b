"""meshnet-import: facts read from foreign models, facts that the user has to state, and refusals by name."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import save_file

from export.import_cli import main
from export.import_model import Answers, import_model
from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.spec import BatchNorm, GroupNorm, MinMax, NoNorm, Quantile, SpecError, make_labels
from tests.helpers.export_models import small_model

#: Everything a file of tensors with three layers leaves open.
ALL = Answers(
    activation="elu",
    dilations=(1, 2, 4),
    norm="none",
    labels=make_labels(["background", "lesion"]),
    normalization=MinMax(),
    orientation="LIA",
)
INPUT = Answers(normalization=MinMax(), orientation="LIA", labels=make_labels(["background", "lesion"]))


def chain(pattern: str = "convs.{}", widths: tuple[int, ...] = (1, 4, 4, 4), bias: bool = True) -> dict[str, Any]:
    """Tensors of 3x3x3 convolutions of the given widths and a 1x1x1 classifier of two classes."""
    rng = np.random.default_rng(0)
    tensors = {}
    for i, (inside, out) in enumerate(zip(widths, (*widths[1:], 2), strict=True)):
        k = 1 if i == len(widths) - 1 else 3
        tensors[f"{pattern.format(i)}.weight"] = rng.standard_normal((out, inside, k, k, k)).astype(np.float32)
        if bias:
            tensors[f"{pattern.format(i)}.bias"] = rng.standard_normal(out).astype(np.float32)
    return tensors


def batch_norm(channels: int = 4) -> dict[str, Any]:
    ones = np.ones(channels, np.float32)
    return {"weight": ones, "bias": ones, "running_mean": ones, "running_var": ones}


def safetensors(folder: Path, tensors: dict[str, Any], name: str = "net.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / name)
    return folder / name


class TestTensorFiles:
    def test_everything_a_file_of_tensors_leaves_open_is_asked_for_by_flag(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError) as refused:
            import_model(safetensors(tmp_path, chain()), Answers())
        for flag in ("--activation", "--dilations", "--norm", "--labels", "--normalize", "--orientation"):
            assert flag in str(refused.value)

    def test_layers_are_ordered_by_number_not_by_letter(self, tmp_path: Path) -> None:
        tensors = chain(widths=(1, *[4] * 11))
        imported = import_model(
            safetensors(tmp_path, tensors), Answers(**{**vars(ALL), "dilations": tuple(range(1, 12))})
        )
        for i in range(11):
            assert np.array_equal(imported.weights[f"layers.{i}.conv.weight"], tensors[f"convs.{i}.weight"])
        assert np.array_equal(imported.weights["classifier.bias"], tensors["convs.11.bias"])

    @pytest.mark.parametrize("head", ["classifier", "head"])
    def test_a_classifier_without_a_number_comes_last(self, tmp_path: Path, head: str) -> None:
        tensors = chain("layers.{}.conv")
        for kind in ("weight", "bias"):
            tensors[f"{head}.{kind}"] = tensors.pop(f"layers.3.conv.{kind}")
        norms = {f"layers.{i}.norm.{k}": v for i in range(3) for k, v in batch_norm().items()}
        imported = import_model(safetensors(tmp_path, {**tensors, **norms}), Answers(**{**vars(ALL), "norm": "batch"}))
        assert np.array_equal(imported.weights["classifier.weight"], tensors[f"{head}.weight"])
        assert np.array_equal(imported.weights["layers.0.conv.weight"], tensors["layers.0.conv.weight"])

    def test_answers_become_the_description(self, tmp_path: Path) -> None:
        spec = import_model(safetensors(tmp_path, chain()), ALL).spec
        a = spec.architecture
        assert (a.in_channels, a.channels, a.classes, a.dilations) == (1, 4, 2, (1, 2, 4))
        assert (a.activation, a.norm, a.conv_bias, a.classifier_bias) == ("elu", NoNorm(), True, True)
        assert spec.id == "net"
        assert "net.safetensors" in spec.provenance.source

    def test_a_count_of_dilations_that_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="2 dilations for 3 layers"):
            import_model(safetensors(tmp_path, chain()), Answers(**{**vars(ALL), "dilations": (1, 2)}))

    def test_a_count_of_labels_that_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="3 labels for 2 classes"):
            import_model(
                safetensors(tmp_path, chain()), Answers(**{**vars(ALL), "labels": make_labels(["a", "b", "c"])})
            )

    def test_a_bad_orientation_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="names an axis twice"):
            import_model(safetensors(tmp_path, chain()), Answers(**{**vars(ALL), "orientation": "LLA"}))

    def test_group_norm_without_tensors_has_to_be_said(self, tmp_path: Path) -> None:
        path = safetensors(tmp_path, chain(bias=False))
        spec = import_model(path, Answers(**{**vars(ALL), "norm": "group"})).spec
        assert spec.architecture.norm == GroupNorm(affine=False)
        assert not spec.architecture.conv_bias
        with pytest.raises(SpecError, match="no BatchNorm tensors"):
            import_model(path, Answers(**{**vars(ALL), "norm": "batch"}))

    def test_a_norm_that_contradicts_the_tensors_is_refused(self, tmp_path: Path) -> None:
        tensors = {f"net.{i}.bn.{k}": v for i in range(3) for k, v in batch_norm().items()}
        path = safetensors(tmp_path, {**chain("net.{}.conv"), **tensors})
        with pytest.raises(SpecError, match="--norm contradicts the source, which states batch, not none"):
            import_model(path, ALL)
        imported = import_model(path, Answers(**{**vars(ALL), "norm": "batch"}))
        assert imported.spec.architecture.norm == BatchNorm()
        assert any("eps" in note for note in imported.notes)

    def test_norm_tensors_without_running_statistics_are_an_affine_group_norm(self, tmp_path: Path) -> None:
        norms = {f"m.{i}.1.{k}": np.ones(4, np.float32) for i in range(3) for k in ("weight", "bias")}
        path = safetensors(tmp_path, {**chain("m.{}.0"), **norms})
        spec = import_model(path, Answers(**{**vars(ALL), "norm": None})).spec
        assert spec.architecture.norm == GroupNorm(affine=True)

    @pytest.mark.parametrize(
        ("tensors", "says"),
        [
            (chain(widths=(1, 4, 6, 4)), "mixed widths: convs.1 gives 6 channels"),
            ({**chain(), "convs.1.weight": np.ones((4, 1, 3, 3, 3), np.float32)}, "convs.1 takes 1 channels.*grouped"),
            ({**chain(), "convs.1.weight": np.ones((4, 4, 5, 5, 5), np.float32)}, "convs.1 has kernel"),
            ({**chain(), "convs.3.weight": np.ones((2, 4, 3, 3, 3), np.float32)}, "convs.3 has kernel.*classifier"),
            ({**chain(), "fc.weight": np.ones((4, 4), np.float32)}, "fc.weight.*not a MeshNet"),
            ({"convs.0.weight": np.ones((2, 1, 1, 1, 1), np.float32)}, "found 1 convolution"),
            ({k: v for k, v in chain().items() if k != "convs.1.bias"}, "some layers have a bias"),
            (
                {**chain("net.{}"), **{f"bn.{k}": v for k, v in batch_norm().items()}},
                "BatchNorm bn does not directly follow a convolution",
            ),
            (
                {**chain("n.{}.0"), **{f"n.0.{j}.{k}": v for j in (1, 2) for k, v in batch_norm().items()}},
                "BatchNorm n.0.2 does not directly follow a convolution",
            ),
            (
                {**chain("n.{}.0"), **{f"n.0.1.{k}": v for k, v in batch_norm(5).items()}},
                "n.0.1 has .5,. channels",
            ),
            (
                {**chain("n.{}.0"), **{f"n.0.1.{k}": v for k, v in batch_norm().items()}},
                "some layers have norm tensors",
            ),
            ({**chain(), "convs.0.bias": np.full(4, np.nan, np.float32)}, "non-finite"),
        ],
    )
    def test_what_is_no_meshnet_is_refused_by_name(self, tmp_path: Path, tensors: dict[str, Any], says: str) -> None:
        with pytest.raises(SpecError, match=says):
            import_model(safetensors(tmp_path, tensors), ALL)

    def test_content_decides_what_a_file_is_not_its_name(self, tmp_path: Path) -> None:
        imported = import_model(safetensors(tmp_path, chain(), "model.pth"), ALL)
        assert imported.kind == "safetensors"
        assert any("model.pth is a safetensors file despite its name" in note for note in imported.notes)

    def test_truncated_safetensors_are_refused(self, tmp_path: Path) -> None:
        path = safetensors(tmp_path, chain())
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(SpecError, match="damaged safetensors"):
            import_model(path, ALL)

    def test_other_bytes_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "model.pt").write_bytes(b"GIF89a and so on")
        with pytest.raises(SpecError, match="neither a safetensors nor a PyTorch file"):
            import_model(tmp_path / "model.pt", ALL)

    def test_a_folder_of_several_weight_files_is_refused(self, tmp_path: Path) -> None:
        safetensors(tmp_path, chain(), "a.safetensors")
        safetensors(tmp_path, chain(), "b.safetensors")
        with pytest.raises(SpecError, match=r"'a.safetensors', 'b.safetensors'.*name the file"):
            import_model(tmp_path, ALL)

    def test_a_source_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="nowhere: no such file or folder"):
            import_model(tmp_path / "nowhere", ALL)


class TestPyTorchFiles:
    def save(self, path: Path, content: object) -> Path:
        torch.save(content, path)
        return path

    def state(self) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(array) for name, array in chain("model.{}").items()}

    @pytest.mark.parametrize("key", [None, "model_state_dict", "state_dict", "model"])
    @pytest.mark.parametrize("legacy", [False, True])
    def test_a_state_dict_is_found_at_the_top_or_inside(self, tmp_path: Path, key: str | None, legacy: bool) -> None:
        content = {key: self.state(), "epoch": 3} if key else self.state()
        path = tmp_path / "final.pt"
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        imported = import_model(path, ALL)
        assert np.array_equal(imported.weights["layers.0.conv.weight"], chain()["convs.0.weight"])

    def test_a_pickle_that_needs_code_is_refused_and_its_code_not_run(self, tmp_path: Path) -> None:
        canary = tmp_path / "ran"

        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (canary,)

        for content in (Evil(), {"state_dict": self.state(), "extra": Evil()}):
            path = self.save(tmp_path / "evil.pt", content)
            with pytest.raises(SpecError, match="reading this pickle would run code"):
                import_model(path, ALL)
        (tmp_path / "plain.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
        with pytest.raises(SpecError, match="reading this pickle would run code"):
            import_model(tmp_path / "plain.pth", ALL)
        assert not canary.exists()

    def test_a_truncated_file_is_refused(self, tmp_path: Path) -> None:
        path = self.save(tmp_path / "model.pt", self.state())
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(SpecError, match="damaged PyTorch file"):
            import_model(path, ALL)

    def test_a_file_without_a_state_dict_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="no state_dict found"):
            import_model(self.save(tmp_path / "model.pt", {"epoch": 3}), ALL)

    def test_two_state_dicts_are_refused(self, tmp_path: Path) -> None:
        path = self.save(tmp_path / "model.pt", {"state_dict": self.state(), "model": self.state()})
        with pytest.raises(SpecError, match="save one of them alone"):
            import_model(path, ALL)


def forward_pass(**changes: Any) -> dict[str, Any]:
    """brainchop's layers.json for `chain()`, each layer followed by per-channel norm and gelu."""
    steps: list[dict[str, Any]] = []
    for i, dilation in enumerate((1, 2, 4)):
        params = {"in_channels": 1 if i == 0 else 4, "out_channels": 4, "kernel_size": 3, "padding": dilation}
        steps += [
            {"op": "conv3d", "params": {**params, "stride": 1, "dilation": dilation, "bias": False, **changes}},
            {"op": "group_norm", "params": {"num_groups": 4, "num_channels": 4, "affine": False}},
            {"op": "gelu", "params": {}},
        ]
    last = {"in_channels": 4, "out_channels": 2, "kernel_size": 1, "padding": 0, "stride": 1, "dilation": 1}
    steps.append({"op": "conv3d", "params": {**last, "bias": False}})
    return {"metadata": {"output_classes": 2}, "forward_pass": steps}


def configuration(**changes: Any) -> dict[str, Any]:
    """brainchop's model.json for `chain()`."""
    layers = [step["params"] for step in forward_pass()["forward_pass"] if step["op"] == "conv3d"]
    return {"header": "test", "bnorm": False, "layers": [{**layer} for layer in layers], **changes}


class TestDescribedTensors:
    def folder(self, tmp_path: Path, name: str, description: object, bias: bool = False) -> Path:
        safetensors(tmp_path, chain("model.{}", bias=bias), "model.pth")
        (tmp_path / name).write_text(json.dumps(description))
        return tmp_path

    def test_a_forward_pass_answers_dilations_activation_and_norm(self, tmp_path: Path) -> None:
        spec = import_model(self.folder(tmp_path, "layers.json", forward_pass()), INPUT).spec
        assert spec.architecture.dilations == (1, 2, 4)
        assert spec.architecture.activation == "gelu"
        assert spec.architecture.norm == GroupNorm(affine=False)

    def test_the_weights_win_over_the_description_and_it_is_said(self, tmp_path: Path) -> None:
        description = forward_pass()
        description["metadata"]["output_classes"] = 5
        description["forward_pass"][2:2] = [{"op": "batch_norm3d", "params": {}}]
        description["forward_pass"][0]["params"]["out_channels"] = 9
        imported = import_model(self.folder(tmp_path, "layers.json", description, bias=True), INPUT)
        assert imported.spec.architecture.classes == 2
        assert imported.spec.architecture.conv_bias
        said = "\n".join(imported.notes)
        for part in ("states 5 classes", "batch_norm3d", "other channel or class counts", "states bias false"):
            assert part in said
        assert said.count("the weights win") >= 4

    def test_a_configuration_without_gelu_leaves_the_activation_open(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, "model.json", configuration())
        with pytest.raises(SpecError, match="does not state the activation; state it with --activation"):
            import_model(folder, INPUT)
        spec = import_model(folder, Answers(**{**vars(INPUT), "activation": "relu"})).spec
        assert spec.architecture.norm == NoNorm()

    def test_a_configuration_with_a_norm_that_the_weights_lack_asks_for_it(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, "model.json", configuration(bnorm=True, gelu=True))
        with pytest.raises(SpecError, match=r"does not state the norm(.|\n)*weights have no tensors"):
            import_model(folder, INPUT)

    def test_a_flag_that_contradicts_the_description_is_an_error(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, "layers.json", forward_pass())
        with pytest.raises(SpecError, match="--activation contradicts the source, which states gelu, not relu"):
            import_model(folder, Answers(**{**vars(INPUT), "activation": "relu"}))
        with pytest.raises(SpecError, match="--dilations contradicts the source, which states 1,2,4, not 1,2,8"):
            import_model(folder, Answers(**{**vars(INPUT), "dilations": (1, 2, 8)}))

    @pytest.mark.parametrize(
        ("description", "says"),
        [
            (forward_pass(padding=7), r"padding 7 with dilation 1 and kernel 3.*dilation \* \(kernel - 1\) / 2 = 1"),
            (forward_pass(stride=2), "stride 2; only stride 1"),
            (forward_pass(groups=4), "groups 4; only groups 1"),
            (forward_pass(dilation=[1, 2, 1]), r"mixed dilations \[1, 2, 1\]"),
            (forward_pass(kernel_size=5), "described with kernel 5, the weights have 3"),
            ({"forward_pass": forward_pass()["forward_pass"][3:]}, "4 convolutions, layers.json describes 3"),
            ({"forward_pass": [{"op": "gelu"}]}, "gelu comes before any convolution"),
            ({"steps": []}, "malformed forward_pass"),
        ],
    )
    def test_what_cannot_be_expressed_is_refused(self, tmp_path: Path, description: object, says: str) -> None:
        with pytest.raises(SpecError, match=says):
            import_model(self.folder(tmp_path, "layers.json", description), INPUT)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda steps: steps[2].update(op="mish"), r"unknown activation \['mish'\]"),
            (lambda steps: steps.pop(2), "unknown activation none"),
            (lambda steps: steps[2].update(op="relu"), "mixed activations"),
            (lambda steps: steps.insert(2, steps.pop(1)), "group_norm comes after the activation"),
            (lambda steps: steps[1]["params"].update(num_groups=2), "2 groups for 4 channels"),
        ],
    )
    def test_operations_that_cannot_be_expressed_are_refused(
        self, tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], says: str
    ) -> None:
        description = forward_pass()
        change(description["forward_pass"])
        with pytest.raises(SpecError, match=says):
            import_model(self.folder(tmp_path, "layers.json", description), INPUT)


class TestOnnx:
    def test_an_onnx_file_without_a_network_is_refused(self, tmp_path: Path) -> None:
        graph = onnx.helper.make_graph([], "other", [], [])
        onnx.save(onnx.helper.make_model(graph), tmp_path / "model.onnx")
        with pytest.raises(SpecError, match=r"inputs \[\]; expected one, the image"):
            import_model(tmp_path / "model.onnx", ALL)

    def test_bytes_that_are_no_onnx_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"\xff" * 64)
        with pytest.raises(SpecError, match="not an ONNX file, or damaged"):
            import_model(tmp_path / "model.onnx", ALL)


class TestCommandLine:
    def test_flags_make_a_model_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        source = safetensors(tmp_path, chain())
        flags = ["--activation", "elu", "--dilations", "1,2,4", "--norm", "none", "--labels", "background, lesion"]
        flags += ["--normalize", "quantile:0.02,0.98", "--orientation", "RAS", "--id", "mine", "--license", "MIT"]
        assert main([str(source), "-o", str(tmp_path / "out"), *flags]) == 0
        spec, weights = load_checkpoint(tmp_path / "out")
        assert spec.id == "mine"
        assert spec.input.orientation == "RAS"
        assert spec.input.normalization == Quantile(low=0.02, high=0.98)
        assert [label.name for label in spec.labels] == ["background", "lesion"]
        assert spec.provenance.license == "MIT"
        assert np.array_equal(weights["classifier.weight"], chain()["convs.3.weight"])
        assert "3 layers of 4 channels, 2 classes, elu, norm none" in capsys.readouterr().out

    def test_a_refusal_is_one_sentence_and_exit_code_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([str(tmp_path / "nowhere"), "-o", str(tmp_path / "out")]) == 2
        assert "no such file or folder" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("out", ["afile", "afile/x"])
    def test_a_file_in_the_place_of_the_output_is_a_sentence(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str
    ) -> None:
        (tmp_path / "afile").write_text("precious")
        save_checkpoint(tmp_path / "model", *small_model())
        assert main([str(tmp_path / "model"), "-o", str(tmp_path / out)]) == 2
        assert f"{out}: expected a model folder to write, got the file" in capsys.readouterr().err
        assert (tmp_path / "afile").read_text() == "precious"

    def test_a_folder_named_model_json_is_a_sentence_on_either_side(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        save_checkpoint(tmp_path / "model", *small_model())
        (tmp_path / "odd" / "model.json").mkdir(parents=True)
        assert main([str(tmp_path / "model"), "-o", str(tmp_path / "odd"), "--overwrite"]) == 2
        assert "model.json: expected a file or nothing, got a folder" in capsys.readouterr().err
        for source in ("odd", "odd/model.json"):
            assert main([str(tmp_path / source), "-o", str(tmp_path / "out")]) == 2
            assert str(tmp_path / "odd") in capsys.readouterr().err

    def test_a_system_error_is_a_sentence(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        save_checkpoint(tmp_path / "model", *small_model())
        (tmp_path / "out" / "weights.safetensors").mkdir(parents=True)
        assert main([str(tmp_path / "model"), "-o", str(tmp_path / "out")]) == 2
        assert "cannot be read or written (Is a directory)" in capsys.readouterr().err

    def test_a_model_is_replaced_only_on_request(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        save_checkpoint(tmp_path / "model", *small_model())
        save_checkpoint(tmp_path / "out", *small_model("mine"))
        arguments = [str(tmp_path / "model"), "-o", str(tmp_path / "out")]
        assert main(arguments) == 2
        assert "holds a model already" in capsys.readouterr().err
        assert load_checkpoint(tmp_path / "out")[0].id == "mine"
        assert main([*arguments, "--overwrite"]) == 0
        assert load_checkpoint(tmp_path / "out")[0].id == "small"

    @pytest.mark.parametrize(
        ("flag", "value", "says"),
        [
            ("--dilations", "1,two", "expected whole numbers"),
            ("--dilations", "0,1", "from 1 to 64"),
            ("--labels", "background,,lesion", "an empty name"),
            ("--normalize", "zscore", "expected minmax or quantile:LOW,HIGH"),
            ("--normalize", "quantile:0.9,0.1", "expected minmax or quantile:LOW,HIGH"),
            ("--normalize", "quantile:0.9", "expected minmax or quantile:LOW,HIGH"),
        ],
    )
    def test_a_malformed_flag_says_what_was_expected(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str, says: str
    ) -> None:
        assert main([str(safetensors(tmp_path, chain())), "-o", str(tmp_path / "out"), flag, value]) == 2
        assert says in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ('{"R": [0], "G": [0], "B": [0]}', "expected brainchop's colour table"),
            ('{"R": [0], "G": [0], "B": [0], "labels": ["a", "b"]}', "differ in length"),
            ('{"R": [0, 300], "G": [0, 0], "B": [0, 0], "labels": ["a", "b"]}', "got 300"),
            ("[", "not valid JSON"),
        ],
    )
    def test_a_malformed_label_file_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, says: str
    ) -> None:
        (tmp_path / "labels.json").write_text(content)
        source = safetensors(tmp_path, chain())
        assert main([str(source), "-o", str(tmp_path / "out"), "--labels", str(tmp_path / "labels.json")]) == 2
        assert says in capsys.readouterr().err
