"""TorchScript files and formats that are no MeshNet: read without running them, or refused by name."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from export.import_model import Answers, import_model
from meshnet.model.spec import BatchNorm, GroupNorm, MinMax, NoNorm, SpecError, make_labels

INPUT = Answers(normalization=MinMax(), orientation="LIA", labels=make_labels(["background", "brain", "lesion"]))


def network(
    norm: Callable[[], nn.Module] = nn.Identity,
    activation: Callable[[], nn.Module] = nn.ReLU,
    first: dict[str, object] | None = None,
) -> nn.Sequential:
    """Two layers of 4 channels with dilations 1 and 3, and a classifier of three classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv3d(1, 4, 3, **{"padding": 1, **(first or {})}), norm(), activation()),
        nn.Sequential(nn.Conv3d(4, 4, 3, padding=3, dilation=3), norm(), activation()),
        nn.Conv3d(4, 3, 1),
    ).eval()


def save(path: Path, model: nn.Module, how: str = "script") -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated; files of it stay in use
        program = torch.jit.trace(model, torch.zeros(1, 1, 6, 6, 6)) if how == "trace" else torch.jit.script(model)
        (torch.jit.freeze(program) if how == "freeze" else program).save(str(path))
    return path


@pytest.mark.parametrize("how", ["script", "trace"])
@pytest.mark.parametrize(
    ("activation", "name"),
    [(nn.ReLU, "relu"), (nn.ELU, "elu"), (nn.GELU, "gelu"), (lambda: nn.GELU("tanh"), "gelu_tanh")],
)
def test_dilations_and_activation_are_read_from_the_program(
    tmp_path: Path, how: str, activation: Callable[[], nn.Module], name: str
) -> None:
    model = network(activation=activation)
    imported = import_model(save(tmp_path / "net.pt", model, how), INPUT)
    a = imported.spec.architecture
    assert (a.dilations, a.activation, a.norm, a.channels, a.classes) == ((1, 3), name, NoNorm(), 4, 3)
    assert imported.kind == "TorchScript file"
    assert np.array_equal(imported.weights["layers.1.conv.weight"], model[1][0].weight.detach().numpy())
    assert np.array_equal(imported.weights["classifier.bias"], model[2].bias.detach().numpy())


@pytest.mark.parametrize("how", ["script", "trace"])
def test_batch_norm_is_read_with_its_eps(tmp_path: Path, how: str) -> None:
    imported = import_model(save(tmp_path / "net.pt", network(lambda: nn.BatchNorm3d(4, eps=1e-3)), how), INPUT)
    assert imported.spec.architecture.norm == BatchNorm(eps=1e-3)
    assert np.array_equal(imported.weights["layers.0.norm.running_var"], np.ones(4))


def test_a_norm_without_tensors_is_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", network(lambda: nn.GroupNorm(4, 4, affine=False)))
    with pytest.raises(SpecError, match="does not state the norm; state it with --norm"):
        import_model(path, INPUT)
    spec = import_model(path, Answers(**{**vars(INPUT), "norm": "group"})).spec
    assert spec.architecture.norm == GroupNorm(affine=False)


def test_padding_by_name_leaves_the_dilations_to_the_user(tmp_path: Path) -> None:
    path = save(tmp_path / "net.pt", network(first={"padding": "same"}))
    with pytest.raises(SpecError, match="does not state the dilations"):
        import_model(path, INPUT)


def test_tensors_that_share_a_storage_or_are_transposed_are_read_by_their_strides(tmp_path: Path) -> None:
    model = network()
    weight = model[1][0].weight.detach().clone()
    model[1][0].weight = nn.Parameter(weight.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0))
    imported = import_model(save(tmp_path / "net.pt", model), INPUT)
    assert np.array_equal(imported.weights["layers.1.conv.weight"], weight.numpy())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) + x


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "stride": (lambda: network(first={"stride": 2}), r"0\.0: stride \[2, 2, 2\]; only stride 1"),
    "padding": (lambda: network(first={"padding": 0}), r"0\.0: padding \[0, 0, 0\]; expected dilation"),
    "mixed dilation": (lambda: network(first={"dilation": (1, 2, 1), "padding": (1, 2, 1)}), r"mixed dilations \["),
    "pooling": (lambda: network(norm=lambda: nn.MaxPool3d(3, 1, 1)), "program with torch.max_pool3d"),
    "another activation": (lambda: network(activation=nn.LeakyReLU), "program with torch.leaky_relu"),
    "a skip connection": (Residual, "program with torch.add"),
    "2-D": (lambda: nn.Sequential(nn.Conv2d(1, 4, 3)), "neither a 3-D convolution nor a norm"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_program_that_is_no_meshnet_is_refused_by_name(tmp_path: Path, case: str) -> None:
    build, says = REFUSED[case]
    with pytest.raises(SpecError, match=says):
        import_model(save(tmp_path / "net.pt", build()), INPUT)


def test_norms_with_different_eps_are_refused(tmp_path: Path) -> None:
    model = network(lambda: nn.BatchNorm3d(4))
    model[1][1] = nn.BatchNorm3d(4, eps=1e-2).eval()
    with pytest.raises(SpecError, match=r"mixed eps of BatchNorm: \[1e-05, 0.01\]"):
        import_model(save(tmp_path / "net.pt", model), INPUT)


def test_a_frozen_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"torch\.jit\.freeze makes it; save the module before it is frozen"):
        import_model(save(tmp_path / "net.pt", network(), "freeze"), INPUT)


def rewrite(source: Path, member: str, payload: bytes) -> Path:
    """A copy of the archive with another content of one member."""
    target = source.with_name("changed.pt")
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, payload if name.endswith(member) else old.read(name))
    return target


def test_a_pickle_in_a_torchscript_file_cannot_run_code(tmp_path: Path) -> None:
    canary = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (canary,)

    path = rewrite(save(tmp_path / "net.pt", network()), "/data.pkl", pickle.dumps(Evil(), protocol=2))
    with pytest.raises(SpecError, match="which is not read; save the state_dict alone"):
        import_model(path, INPUT)
    assert not canary.exists()


def test_a_storage_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = rewrite(save(tmp_path / "net.pt", network()), "/data/0", b"\0" * 8)
    with pytest.raises(SpecError, match="damaged TorchScript file"):
        import_model(path, INPUT)


def archive(*members: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name in members:
                file.writestr(name, "{}")

    return make


NAMED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "HDF5": ("m.h5", lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 64), "an HDF5 file.*save_keras_model"),
    "Keras 3": (
        "m.keras",
        archive("config.json", "model.weights.h5"),
        "a Keras 3 archive; convert the model to TF.js first",
    ),
    "TFLite": ("m.tflite", lambda p: p.write_bytes(b"\x1c\0\0\0TFL3" + b"\0" * 64), "a TensorFlow Lite model"),
    "torch.export": (
        "m.pt2",
        archive("m/models/model.json", "m/archive_format"),
        r"a program of torch\.export; save the tensors",
    ),
    "LFS": ("m.pth", lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "web page": ("m.pth", lambda p: p.write_bytes(b"<!DOCTYPE html>"), "a web page"),
}


@pytest.mark.parametrize("case", NAMED)
def test_another_format_is_named_with_what_to_do(tmp_path: Path, case: str) -> None:
    name, make, says = NAMED[case]
    make(tmp_path / name)
    with pytest.raises(SpecError, match=says):
        import_model(tmp_path / name, INPUT)


def test_a_saved_model_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(SpecError, match=r"a TensorFlow SavedModel.*save_keras_model"):
        import_model(tmp_path, INPUT)


def test_no_message_repeats_advice_to_load_without_protection(tmp_path: Path) -> None:
    """PyTorch's errors propose weights_only=False, which runs the code in a file."""

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return print, ("ran",)

    torch.save(Evil(), tmp_path / "evil.pt")
    save(tmp_path / "script.pt", network(), "freeze")
    (tmp_path / "torn.pt").write_bytes((tmp_path / "script.pt").read_bytes()[:3000])
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/constants.pkl", b"\x80\x02).")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(SpecError) as refused:
            import_model(path, INPUT)
        assert "weights_only" not in str(refused.value)
        assert "trusted" not in str(refused.value)
