"""data=synth_heads: the label-map generator as a training source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import nibabel as nib
import numpy as np
import pytest

from meshnet.synth.draw import Task
from meshnet.synth.label_table import TARGET_LABELS
from meshnet.train.config import ConfigError, TrainConfig, compose_config
from meshnet.train.loop import train
from meshnet.train.networks import SPEC_TASKS
from meshnet.train.sources import open_source
from tests.helpers.label_map_heads import ellipsoid_labels, save_label_map


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one label map and two folders of lesion masks; one mask has the name of a held-out one."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("heads", "a", "b"):
        (folder / name).mkdir()
    save_label_map(folder / "heads" / "own.nii.gz", ellipsoid_labels())
    mask = np.zeros((40, 40, 40), np.uint8)
    mask[5:35, 5:35, 5:35] = 1
    affine = np.eye(4)
    affine[:3, 3] = (-60, -40, 0)
    for name in ("a/one.nii.gz", "b/two.nii.gz", "b/bwsrsub-585_lesion.nii.gz"):
        nib.save(nib.Nifti1Image(mask, affine), folder / name)
    return folder


def config_of(data: Path, *more: str) -> TrainConfig:
    return compose_config(
        [
            "model=small",
            "data=synth_heads",
            f"data.anatomies={data / 'heads'}",
            f"data.lesions=[{data / 'a'},{data / 'b'}]",
            f"data.cache={data / 'cache'}",
            "data.validation_subjects=2",
            "data.stages=[{steps: 3, size: [20, 22, 24], voxel_size_mm: [4.0, 5.0]}]",
            "loss.class_weights=[1,1,1,1,2]",
            f"run={data / 'run'}",
            *more,
        ]
    )


def test_items_are_the_same_for_the_same_step_and_leave_held_out_masks_out(data: Path) -> None:
    source = open_source(config_of(data))
    assert "1 label maps (own) and 2 real lesion masks" in source.description
    first, again = source.item(1), source.item(1)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert not np.array_equal(first.image, source.item(2).image)
    assert (first.image.shape, first.image.dtype, first.labels.dtype) == ((20, 22, 24), np.float32, np.uint8)
    assert source.steps == 3
    assert source.validation_item(1).labels.max() <= 4


def test_the_description_counts_the_heads_of_a_run_that_stops_early(data: Path) -> None:
    assert open_source(config_of(data)).description.startswith("3 synthetic tissue-lesion heads")
    shorter = open_source(config_of(data, "trainer.stop_at_step=2"))
    assert shorter.description.startswith("2 synthetic tissue-lesion heads")


def test_a_tiny_network_trains_on_them(data: Path) -> None:
    progress = train(config_of(data, "trainer=cpu", "model.channels=4"), command="meshnet-train")
    assert progress.step == 3
    about = json.loads((data / "run" / "last" / "model.json").read_text())
    assert about["task"] == "brain tissue and stroke lesion"
    roles = {label["name"]: label.get("role") for label in about["labels"]}
    assert roles == {"background": None, "csf": "context", "grey": "context", "white": "context", "lesion": "lesion"}


def test_every_task_of_training_has_a_task_of_the_model() -> None:
    assert set(SPEC_TASKS) == {*TARGET_LABELS, *get_args(Task)}
    assert (SPEC_TASKS["lesion"], SPEC_TASKS["tissue"]) == ("stroke lesion", "tissue")
    assert [task for task, named in SPEC_TASKS.items() if "lesion" in named] == ["lesion", "tissue-lesion"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.task=skin", "data.task: expected tissue-lesion"),
        ("data.task=tissue", r"data.labels: task tissue has 4 labels \(background, csf, grey, white\), got 5"),
        ("+data.contrasts.T3w=1.0", "data.contrasts: expected weights for T1w"),
        ("data.anatomies=''", "data.anatomies: not set"),
        ("data.lesions=[]", "data.lesions: not set"),
        ("data.held_out=none.json", "data.held_out: none.json: no such file"),
        ("data.stages=[]", "data.stages: synthetic training needs"),
    ],
)
def test_settings_that_cannot_be_run_say_which_and_what_they_take(data: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_source(config_of(data, override))


@pytest.mark.parametrize("folder", ["anatomies", "lesions"])
def test_the_settings_name_no_folders_unless_the_user_does(folder: str, data: Path) -> None:
    config = config_of(data)
    defaults = compose_config(["data=synth_heads", "loss.class_weights=[1,1,1,1,2]"]).data
    setattr(config.data, folder, getattr(defaults, folder))
    with pytest.raises(ConfigError, match=f"data.{folder}: not set"):
        open_source(config)


def test_every_target_is_a_task(data: Path) -> None:
    for target, names in TARGET_LABELS.items():
        labels = ",".join(names)
        weights = f"loss.class_weights={[1] * len(names)}"
        source = open_source(config_of(data, f"data.task={target}", f"data.labels=[{labels}]", weights))
        assert source.item(0).labels.max() < len(names)
