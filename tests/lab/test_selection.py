"""meshnet-select: states and thresholds are scored on heads that are not held out."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from meshnet.lab import selection
from meshnet.lab.evaluate_models import HELD_OUT
from meshnet.lab.held_out import read_held_out
from meshnet.lab.selection import Outcome, label_map_heads, lesion_heads, main, not_held_out, tissue_heads, tissue_table
from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.network import MeshNet, weights_of
from meshnet.model.refine import refine_model
from meshnet.model.spec import Architecture, BatchNorm, make_labels
from meshnet.synth.anatomy import Anatomy
from meshnet.synth.grid import Grid
from meshnet.synth.label_maps import HeadLabels, head_classes
from meshnet.synth.label_table import TARGET_LABELS
from meshnet.train.networks import LABEL_ROLES, SPEC_TASKS
from tests.helpers.ball_head import ball_head
from tests.helpers.export_models import small_model
from tests.helpers.label_map_heads import ellipsoid_labels

pytestmark = pytest.mark.usefixtures("one_thread")

LESION = Architecture(channels=4, classes=2, dilations=(1, 2, 1), activation="elu", norm=BatchNorm())


@pytest.fixture(scope="module")
def heads() -> tuple[Anatomy, Anatomy]:
    return ball_head("colin27"), ball_head("icbm152")


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mask for every held-out name, and three others."""
    folder = tmp_path_factory.mktemp("masks")
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-35, -5, 15)
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[4:14, 4:14, 4:14] = 1
    for name in (*read_held_out(HELD_OUT).lesions, *(f"other-{n}.nii.gz" for n in range(3))):
        nib.save(nib.Nifti1Image(mask, affine), folder / name)
    return folder


@pytest.fixture
def few_voxels(heads: tuple[Anatomy, Anatomy], monkeypatch: pytest.MonkeyPatch) -> None:
    """Few heads of few voxels."""
    monkeypatch.setattr("meshnet.lab.selection._PER_QUARTILE", 3)
    monkeypatch.setattr("meshnet.lab.selection._HEALTHY", 4)
    monkeypatch.setattr("meshnet.lab.selection._COARSE", Grid((16, 18, 20), 12.0))
    monkeypatch.setattr("meshnet.lab.selection.HEAD", Grid((16, 18, 20), 12.0))
    monkeypatch.setattr("meshnet.lab.selection.cached_anatomies", lambda *_: heads)


def _save(folder: Path, *labels: str) -> Path:
    """A randomly initialised network with the labels of a lesion or a tissue model."""
    spec, _ = small_model("state")
    torch.manual_seed(3)
    a = LESION.model_copy(update={"classes": len(labels)})
    save_checkpoint(
        folder,
        spec.model_copy(
            update={
                "architecture": a,
                "labels": make_labels(labels, LABEL_ROLES["tissue-lesion"] if len(labels) == 5 else ()),
                "task": {2: "stroke lesion", 4: "tissue", 5: SPEC_TASKS["tissue-lesion"]}[len(labels)],
            }
        ),
        weights_of(MeshNet(a).eval()),
    )
    return folder


def test_no_head_of_the_selection_is_a_held_out_one(
    heads: tuple[Anatomy, Anatomy], lesions: Path, tmp_path: Path
) -> None:
    frozen = read_held_out(HELD_OUT)
    chosen = [*lesion_heads(heads, not_held_out(lesions, tmp_path)), *tissue_heads(heads)]
    names = {s.lesion.mask.name for _, s in chosen if s.lesion is not None}
    assert names == {f"other-{n}.nii.gz" for n in range(3)}
    seeds = [s.seed for _, s in chosen]
    assert len(set(seeds)) == len(seeds)
    assert not set(seeds) & {*frozen.lesion_seeds, *frozen.lesion_free_seeds}
    assert [kind for kind, _ in chosen].count("healthy") == 60


def test_a_refined_network_is_scored_as_the_coarse_one_it_was_made_from(
    lesions: Path, tmp_path: Path, few_voxels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    coarse = _save(tmp_path / "coarse", "background", "lesion")
    refine_model(coarse, tmp_path / "fine", "fine")
    arguments = [str(coarse), str(tmp_path / "fine"), "--lesions", str(lesions), "--cache", str(tmp_path)]
    assert main([*arguments, "--thresholds", "0.5", "0.9"]) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| /")]
    names = [row[0].strip() for row in rows]
    assert names == [f"{tmp_path / state}, {t}" for state in ("coarse", "fine") for t in ("0.5", "0.9")]
    assert rows[0][1:] == rows[2][1:]
    assert rows[1][1:] == rows[3][1:]
    assert rows[0][1:] != rows[1][1:], "another threshold marks other voxels"


def test_a_state_with_tissue_around_the_lesion_is_scored_by_the_lesion(
    lesions: Path, tmp_path: Path, few_voxels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _save(tmp_path / "state", *TARGET_LABELS["tissue-lesion"])
    arguments = [str(state), "--lesions", str(lesions), "--cache", str(tmp_path), "--thresholds", "0.5", "0.999999"]
    assert main(arguments) == 0
    plain, careful = (line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| /"))
    assert careful[6:9] == [" 100% ", " 0 mL ", " 12 of 12; 0 "], "no tissue label counts as lesion"
    assert plain[6:9] != careful[6:9]


def test_tissue_states_are_scored_by_brain_grey_and_white(
    tmp_path: Path, few_voxels: None, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _save(tmp_path / "state", "background", "csf", "grey", "white")
    assert main(["--task", "tissue", str(state), "--cache", str(tmp_path)]) == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("| /"))
    assert all(0 <= float(cell) <= 1 for cell in row.split("|")[2:-1])

    found = [
        Outcome("T1w", (0.9, 0.8, 0.7), 1, 1),
        Outcome("T1w", (0.7, 0.6, 0.5), 1, 1),
        Outcome("other", (0, 0, 1), 1, 1),
    ]
    assert tissue_table([("a", found)]).splitlines()[-1] == "| a | 0.800 | 0.700 | 0.600 | 0.000 | 0.000 | 1.000 |"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--thresholds", "1.5"], "expected a threshold between 0 and 1, got 1.5"),
        (["missing"], "missing"),
        (["--threads", "0"], "--threads: expected a whole number of 1 or more, got 0"),
        (["--lesions", "{here}/state"], "state: no files *.nii.gz here; check the path"),
        (["--anatomies", "{here}/none"], "none: no such folder; check the path"),
        (
            ["--task", "tissue"],
            "state: expected a model whose task is 'tissue' or 'brain tissue', got 'stroke lesion'; see --task",
        ),
    ],
)
def test_a_model_that_cannot_be_scored_is_named(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _save(tmp_path / "state", "background", "lesion")
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "a.nii.gz").write_bytes(b"")
    words = [word.format(here=tmp_path) for word in arguments]
    try:
        code: object = main([str(state), "--lesions", str(masks), *words])
    except SystemExit as refused:  # by argparse
        code = refused.code
    assert code == 2
    assert expected in capsys.readouterr().err


def test_a_network_of_the_papers_own_dilations_is_not_scored_on_coarse_voxels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, _ = small_model("state")
    a = LESION.model_copy(update={"dilations": (1, 2, 4, 2)})
    spec = spec.model_copy(
        update={"architecture": a, "labels": make_labels(["background", "lesion"]), "task": "stroke lesion"}
    )
    save_checkpoint(tmp_path / "paper", spec, weights_of(MeshNet(a).eval()))
    assert main([str(tmp_path / "paper"), "--lesions", str(tmp_path)]) == 2
    assert "paper: can't be scored on voxels of 2 mm: expected a network as" in capsys.readouterr().err


def test_lesion_models_need_the_folder_of_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([str(_save(tmp_path / "state", "background", "lesion"))])
    assert "--task lesion needs --lesions FOLDER" in capsys.readouterr().err


def test_label_map_heads_are_of_their_split_and_the_lesions_not_held_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    classes, affine = head_classes(ellipsoid_labels(), "ball")
    asked: list[tuple[str, ...]] = []

    def heads(_folder: Path, _cache: Path, splits: tuple[str, ...]) -> list[HeadLabels]:
        asked.append(splits)
        return [HeadLabels("ball", "00", splits[0], classes, affine)]  # type: ignore[arg-type]

    monkeypatch.setattr(selection, "load_heads", heads)
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[5:35, 5:35, 5:35] = 1
    held_out = read_held_out(HELD_OUT).lesions
    for name in ("mine.nii.gz", *held_out):
        nib.save(nib.Nifti1Image(mask, np.diag([1.0, 1, 1, 1])), tmp_path / name)
    drawn = list(label_map_heads(Path("maps"), tmp_path, tmp_path / "cache", "FLAIR", "choose"))
    names = {subject.lesion.mask.name for _, subject in drawn if subject.lesion is not None}
    assert names == {"mine.nii.gz"}
    frozen = list(label_map_heads(Path("maps"), tmp_path, tmp_path / "cache", "T2w", "test"))
    assert [s.lesion.mask.name for _, s in frozen if s.lesion is not None] == list(held_out)
    assert {s.contrast.kind for _, s in drawn} == {"FLAIR"}
    assert {s.contrast.kind for _, s in frozen} == {"T2w"}
    assert asked == [("choose",), ("test",)]
    kinds = [kind for kind, _ in frozen]
    assert (kinds.count("lesion"), kinds.count("healthy")) == (len(held_out), 60)
