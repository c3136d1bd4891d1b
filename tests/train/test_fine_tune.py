"""meshnet-train recipe=… init=MODEL data=FOLDER: a finished model goes on with a lab's cases."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.spec import make_labels, read_spec
from meshnet.train.cli import compose_all, main
from meshnet.train.config import ConfigError
from meshnet.train.items import NOT_LESION
from meshnet.train.recipe import compose_recipe
from meshnet.train.sources import open_source
from tests.helpers.export_models import small_model
from tests.helpers.label_map_heads import ellipsoid_labels, save_label_map

pytestmark = pytest.mark.usefixtures("threads_restored")

JOINT = ["background", "csf", "grey", "white", "lesion"]
RECIPE = """
id: joint
groups: {trainer: cpu, data: synth_heads}
settings:
  license: MIT
  trainer: {threads: 1, save_every_s: 0, freeze_norm_after: 0.0}
phases:
  only: {start: nothing}
fine_tune:
  data: {synthetic_share: 0.0, task: tissue-lesion}
  loss: {class_weights: [1, 1, 1, 1, 2], label_smoothing: 0.0, dice: 1.0, dice_offset_voxels: 1.0}
  optimizer: {lr: 0.02}
  trainer: {epochs: 40, validate_every: 1000}
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "joint.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with tissue and lesion labels that was never trained."""
    folder = tmp_path_factory.mktemp("shipped") / "mine"
    spec, weights = small_model("mine", classes=5, channels=5, norm={"kind": "batch"}, activation="elu")
    spec = spec.model_copy(
        update={"labels": make_labels(JOINT), "input": spec.input.model_copy(update={"normalization": _minmax()})}
    )
    save_checkpoint(folder, spec, weights)
    return folder


def _minmax() -> object:
    spec, _ = small_model()
    return type(spec.input)().normalization


def _command(recipe: Path, shipped: Path, prepared: Path, run: Path, *more: str) -> list[str]:
    return [f"recipe={recipe}", f"init={shipped}", f"data={prepared}", f"run={run}", "data.inner_fold=0", *more]


def test_after_fine_tuning_held_out_cases_are_segmented_better(
    recipe: Path, shipped: Path, prepared: Path, tmp_path: Path
) -> None:
    before = _command(recipe, shipped, prepared, tmp_path / "before", "optimizer.lr=1e-9", "trainer.epochs=1")
    after = _command(recipe, shipped, prepared, tmp_path / "after")
    assert main(before) == main(after) == 0
    scores = [
        read_spec(tmp_path / name / "fine-tune" / "last" / "model.json").metrics["validation_dice"]
        for name in ("before", "after")
    ]
    assert scores[0] < 0.3
    assert scores[1] > scores[0] + 0.2
    spec, _ = load_checkpoint(tmp_path / "after" / "model")
    assert spec.id == "mine-fine-tuned"
    assert [label.name for label in spec.labels] == JOINT


def test_the_start_is_pinned_and_its_layers_and_labels_are_kept(recipe: Path, shipped: Path, prepared: Path) -> None:
    (config,) = compose_all(_command(recipe, shipped, prepared, Path("runs/x")))
    assert (config.model.channels, config.model.dilations) == (5, [1, 3, 2])
    assert config.data.labels == JOINT
    assert config.data.folder == str(prepared.resolve())
    composed = compose_recipe(_command(recipe, shipped, prepared, Path("runs/x")))
    (phase,) = composed.recipe.phases.values()
    assert phase.sha256 == read_spec(shipped / "model.json").weights.sha256


def test_cases_with_a_lesion_mask_leave_the_tissue_open(recipe: Path, shipped: Path, prepared: Path) -> None:
    (config,) = compose_all(_command(recipe, shipped, prepared, Path("runs/x")))
    item = open_source(config).item(0)
    assert set(np.unique(item.labels)) == {4, NOT_LESION}


def test_rendered_heads_come_in_between_by_their_share(
    recipe: Path, shipped: Path, prepared: Path, tmp_path: Path
) -> None:
    (tmp_path / "heads").mkdir()
    save_label_map(tmp_path / "heads" / "own.nii.gz", ellipsoid_labels())
    (tmp_path / "lesions").mkdir()
    affine = np.eye(4)
    affine[:3, 3] = (-60, -40, 0)
    nib.save(nib.Nifti1Image(np.ones((30, 30, 30), np.uint8), affine), tmp_path / "lesions" / "one.nii.gz")
    (config,) = compose_all(
        _command(
            recipe,
            shipped,
            prepared,
            Path("runs/x"),
            "data.synthetic_share=0.25",
            f"data.anatomies={tmp_path / 'heads'}",
            f"data.lesions=[{tmp_path / 'lesions'}]",
            f"data.cache={tmp_path / 'cache'}",
        )
    )
    source = open_source(config)
    names = [source.item(step).name for step in range(8)]
    assert [name.startswith("synthetic-") for name in names] == [False, False, False, True] * 2
    assert len(set(names[:3] + names[4:7])) == min(6, len(set(source.cases)) - source.validation_count())
    rendered = source.item(3)
    assert rendered.image.shape == source.item(0).image.shape
    assert set(np.unique(rendered.labels)) <= set(range(5))
    assert source.steps == round(source.steps_per_epoch * config.trainer.epochs)
    assert "25% of the steps" in source.description


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["data.synthetic_share=0.5"], "the rendered heads need label maps; pass data.anatomies=FOLDER"),
        (["data.synthetic_share=1"], "data.synthetic_share=1: expected 0 or more, and less than 1"),
    ],
)
def test_a_share_that_cannot_be_rendered_is_refused(
    recipe: Path,
    shipped: Path,
    prepared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    more: list[str],
    message: str,
) -> None:
    assert main(_command(recipe, shipped, prepared, tmp_path / "run", *more)) == 2
    assert message in capsys.readouterr().err


def test_without_cases_or_a_fine_tuning_in_the_recipe_it_is_refused(
    shipped: Path, recipe: Path, prepared: Path
) -> None:
    with pytest.raises(ConfigError, match="fine-tuning needs cases; pass data=FOLDER"):
        compose_recipe([f"recipe={recipe}", f"init={shipped}"])
    with pytest.raises(ConfigError, match="has no fine_tune; choose another recipe"):
        compose_recipe(["recipe=tissue", f"init={shipped}", f"data={prepared}"])
