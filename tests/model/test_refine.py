"""meshnet-refine: a coarse network carried over to voxels half the size, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.network import MeshNet, model_from, weights_of
from meshnet.model.refine import coarsened_weights, main, refined_weights
from meshnet.model.spec import Architecture, BatchNorm, make_labels
from tests.helpers.export_models import small_model

COARSE = Architecture(channels=4, classes=2, dilations=(1, 2, 1), activation="elu", norm=BatchNorm())
FINE = COARSE.model_copy(update={"dilations": (1, 2, 4, 2)})


def _trained() -> MeshNet:
    """A network whose running statistics are not those of a new one."""
    torch.manual_seed(0)
    network = MeshNet(COARSE)
    for _ in range(3):
        network(torch.rand(1, 1, 8, 8, 8) * 3)
    return network.eval()


def test_the_finer_network_computes_the_coarse_ones_function_on_every_second_voxel() -> None:
    coarse = _trained()
    fine = model_from(FINE, refined_weights(COARSE, weights_of(coarse), FINE))
    image = torch.rand(1, 1, 12, 10, 14)
    tent = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.einsum("i,j,k->ijk", tent, tent, tent)[None, None]
    smooth = functional.conv3d(image, kernel, padding=1)
    with torch.inference_mode():
        whole = fine(image)
        for z, y, x in ((0, 0, 0), (1, 0, 1), (1, 1, 1)):
            piece = (..., slice(z, None, 2), slice(y, None, 2), slice(x, None, 2))
            torch.testing.assert_close(whole[piece], coarse(smooth[piece]), rtol=1e-4, atol=1e-4)


def test_the_command_writes_a_model_for_whole_scans(tmp_path: Path) -> None:
    spec, _ = small_model("coarse")
    spec = spec.model_copy(update={"architecture": COARSE, "labels": make_labels(["background", "lesion"])})
    save_checkpoint(tmp_path / "coarse", spec, weights_of(_trained()))
    main([str(tmp_path / "coarse"), "--id", "t2-lesion", "-o", str(tmp_path / "fine")])
    fine, weights = load_checkpoint(tmp_path / "fine")
    assert fine.id == "t2-lesion"
    assert fine.architecture == FINE
    assert (fine.input.size, fine.input.voxel_size_mm) == ((256, 256, 256), 1.0)
    assert fine.input.normalization == spec.input.normalization
    assert "; meshnet-refine " in fine.provenance.command
    assert weights.keys() == weights_of(MeshNet(FINE)).keys()


def test_training_goes_on_from_what_ships_as_from_the_coarse_network_itself() -> None:
    coarse = weights_of(_trained())
    again = coarsened_weights(FINE, refined_weights(COARSE, coarse, FINE), COARSE)
    assert again.keys() == coarse.keys()
    for name, array in coarse.items():
        np.testing.assert_array_equal(again[name], array)


@pytest.mark.parametrize("name", ["layers.0.conv.weight", "layers.0.norm.running_mean", "layers.1.conv.weight"])
def test_a_refined_network_trained_further_is_not_taken_back_to_coarse_voxels(name: str) -> None:
    fine = refined_weights(COARSE, weights_of(_trained()), FINE)
    fine[name] = fine[name] + 0.01
    with pytest.raises(ValueError, match=rf"{name} was trained since; continue at its dilations \(1, 2, 4, 2\)"):
        coarsened_weights(FINE, fine, COARSE)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dilations": (2, 4, 2)}, r"dilations \(1, 2, 4, 2\)"),
        ({"channels": 5}, "otherwise the coarse one's architecture"),
        ({"activation": "gelu"}, "otherwise the coarse one's architecture"),
    ],
)
def test_what_does_not_follow_from_the_coarse_network_is_refused(change: dict[str, object], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        refined_weights(COARSE, weights_of(_trained()), FINE.model_copy(update=change))


def test_an_activation_that_changes_positive_values_is_refused() -> None:
    gelu = COARSE.model_copy(update={"activation": "gelu"})
    with pytest.raises(ValueError, match="expected elu or relu"):
        refined_weights(gelu, {}, FINE.model_copy(update={"activation": "gelu"}))


def test_a_folder_without_a_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "--id", "x", "-o", str(tmp_path / "out")]) == 2
    assert "none: no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--id", "A B"], "--id A B: expected 1 to 64 lower-case letters"),
        (["-o", "{mine}"], "mine.txt is a file; expected a folder, or one that doesn't exist yet"),
        (["-o", "{mine.parent}"], "holds mine.txt, no model; choose another folder"),
    ],
)
def test_an_id_or_a_target_that_does_not_fit_is_refused(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "target" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    words = [word.format(mine=mine) for word in more]
    assert main([str(tmp_path / "none"), "--id", "x", "-o", str(tmp_path / "out"), *words]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]
