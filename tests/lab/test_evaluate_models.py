"""`meshnet.lab.evaluate_models`: scores by label names, the consensus, reused scores, the table."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from meshnet.lab.cases import Case, Tissue, Volumes, rendered, tissue_cases, unseen_contrasts
from meshnet.lab.evaluate_models import evaluate, read_rows, score
from meshnet.lab.opened import Opened
from meshnet.lab.table import MEASURES, Row, table
from meshnet.model.spec import ModelSpec, make_labels, read_spec
from meshnet.synth.draw import SynthConfig
from meshnet.synth.grid import Grid
from meshnet.synth.subject import Synthesizer
from tests.helpers.ball_head import ball_head
from tests.helpers.export_models import small_model
from tests.helpers.joint_model import joint_spec
from tests.helpers.paths import REPO
from tests.helpers.scan_files import write_scan

SHAPE = (12, 14, 16)


def spec_with(*labels: str) -> ModelSpec:
    return small_model(classes=len(labels))[0].model_copy(update={"labels": make_labels(labels)})


def _boxes(**boxes: tuple[slice, int]) -> NDArray[np.uint8]:
    """Labels with a value in a range of planes each."""
    labels = np.zeros(SHAPE, np.uint8)
    for planes, value in boxes.values():
        labels[planes] = value
    return labels


def _case(labels: NDArray[np.uint8], *, kind: str = "lesion", group: str = "M2265", name: str = "one") -> Case:
    volumes = Volumes(np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint8), labels)
    return Case(group, name, kind, lambda: volumes)  # type: ignore[arg-type]


def test_a_tissue_model_is_compared_by_the_names_of_its_labels() -> None:
    spec = spec_with("background", "csf", "grey", "white")
    reference = _boxes(white=(slice(0, 4), Tissue.WHITE), grey=(slice(4, 8), Tissue.GREY))
    predicted = _boxes(white=(slice(0, 4), 3), grey=(slice(4, 10), 2), csf=(slice(10, 12), 1))
    row = score(spec, _case(reference, kind="tissue"), _case(reference).load(), predicted)
    assert row.dice_white == 1
    assert row.dice_grey == pytest.approx(2 * 4 / (4 + 6))
    assert row.dice == pytest.approx(2 * 8 / (8 + 10)), "fluid is no part of a brain of grey and white matter"


def test_where_the_reference_is_one_brain_fluid_belongs_to_it() -> None:
    spec = spec_with("background", "csf", "grey", "white")
    reference = _boxes(brain=(slice(0, 9), Tissue.BRAIN))
    predicted = _boxes(white=(slice(0, 4), 3), csf=(slice(4, 9), 1))
    assert score(spec, _case(reference, kind="tissue"), _case(reference).load(), predicted).dice == 1


def test_of_a_model_with_tissue_around_the_lesion_only_the_lesion_is_scored() -> None:
    reference = _boxes(lesion=(slice(4, 8), 1))
    predicted = _boxes(white=(slice(0, 12), 3), lesion=(slice(4, 8), 4))
    row = score(joint_spec(), _case(reference), _case(reference).load(), predicted)
    assert (row.dice, row.volume_ml) == (1, row.true_ml)


def test_a_model_with_tissue_is_scored_after_the_brain_rule(tmp_path: Path) -> None:
    predicted = _boxes(white=(slice(0, 7), 3), lesion=(slice(2, 4), 4), skull=(slice(10, 11), 4))
    joint = Opened(joint_spec(), lambda image, _step: predicted)
    (row,) = evaluate([joint], [_case(_boxes(lesion=(slice(2, 4), 1)))], tmp_path)
    assert (row.dice, row.volume_ml) == (1, row.true_ml)


def test_tissue_references_are_converted_to_one_code_where_they_are_read(tmp_path: Path) -> None:
    scans, expected, templates = (tmp_path / name for name in ("scans", "expected", "templates"))
    for folder in (scans, expected, templates):
        folder.mkdir()
    stored = _boxes(white=(slice(2, 5), 1), grey=(slice(5, 9), 2))  # the code of brainchop's 11-channel model
    image = np.arange(1, stored.size + 1, dtype=np.int16).reshape(SHAPE)
    write_scan(scans / "t1_crop.nii.gz", image)
    write_scan(expected / "t1_crop__brainchop_model11_gw_ae.nii.gz", stored)
    write_scan(templates / "ch2.nii.gz", image)
    write_scan(templates / "ch2bet.nii.gz", image * (stored > 0))

    crop, colin = tissue_cases(tmp_path, templates)

    labels = crop.load().labels
    assert np.array_equal(labels == Tissue.WHITE, stored == 1)
    assert np.array_equal(labels == Tissue.GREY, stored == 2)
    assert set(np.unique(labels)) == {Tissue.OUTSIDE, Tissue.GREY, Tissue.WHITE}
    assert set(np.unique(colin.load().labels)) == {Tissue.OUTSIDE, Tissue.BRAIN}


def test_rendered_tissue_labels_use_the_same_code_as_the_references() -> None:
    synthesizer = Synthesizer([ball_head("ball")], SynthConfig(task="tissue", contrasts={"T1w": 1.0}))
    volumes = rendered(synthesizer.subject(1), Grid((24, 24, 28), 9.0))
    csf, grey, white = (volumes.image[volumes.labels == t].mean() for t in (Tissue.CSF, Tissue.GREY, Tissue.WHITE))
    assert csf < grey < white, "in a T1w scan white matter is brightest and fluid darkest"


def test_the_tissue_model_has_its_labels_in_the_order_of_the_code() -> None:
    labels = read_spec(REPO / "models" / "tissue" / "model.json").labels
    words = {Tissue.OUTSIDE: "background", Tissue.CSF: "csf", Tissue.GREY: "grey", Tissue.WHITE: "white"}
    assert [words[Tissue(label.index)] in label.name.lower() for label in labels] == [True] * 4, labels


class _Marks:
    """A network that labels fixed planes and counts its runs."""

    def __init__(self, planes: slice) -> None:
        self.planes, self.runs = planes, 0

    def __call__(self, image: NDArray[np.float32], _step: object) -> NDArray[np.uint8]:
        self.runs += 1
        labels = np.zeros(image.shape, np.uint8)
        labels[self.planes] = 1
        return labels


def _opened(model: str, network: _Marks, sha256: str = "") -> Opened:
    spec = spec_with("background", "lesion")
    weights = spec.weights.model_copy(update={"sha256": sha256 or f"{len(model):064d}"})
    return Opened(spec.model_copy(update={"id": model, "task": "stroke lesion", "weights": weights}), network)


def test_the_consensus_is_what_both_published_models_mark(tmp_path: Path) -> None:
    models = [
        _opened("brainchop-t2-lesion", _Marks(slice(0, 6))),
        _opened("arc-meshnet26", _Marks(slice(2, 8))),
        _opened("t2-lesion", _Marks(slice(4, 12))),
    ]
    rows = evaluate(models, [_case(_boxes(lesion=(slice(0, 6), 1)))], tmp_path)
    ours = next(r for r in rows if r.model == "t2-lesion")
    assert ours.consensus == pytest.approx(2 / 4)
    assert (tmp_path / "slices" / "t2-lesion-one.png").is_file()


def test_what_was_scored_is_not_scored_again_but_new_weights_are(tmp_path: Path) -> None:
    case = _case(_boxes(lesion=(slice(0, 6), 1)), group="synthetic lesion")
    network = _Marks(slice(0, 6))
    first = evaluate([_opened("t2-lesion", network)], [case], tmp_path)
    again = evaluate([_opened("t2-lesion", network)], [case], tmp_path)
    assert network.runs == 1
    assert [r.dice for r in again] == [r.dice for r in first] == [1.0]
    evaluate([_opened("t2-lesion", network, sha256="f" * 64)], [case], tmp_path)
    assert network.runs == 2
    assert len(read_rows(tmp_path / "scores.csv")) == 2


def test_the_table_says_where_our_models_miss_and_leaves_others_alone() -> None:
    rows = [
        Row("t2-lesion", "a", "synthetic lesion", "one", 0.9, math.nan, math.nan, 10, 11),
        Row("t2-lesion", "a", "synthetic lesion", "two", 0.7, math.nan, math.nan, 20, 18),
        Row("t2-lesion", "a", "synthetic lesion", "three", 0.5, math.nan, math.nan, 5, 6),
        Row("arc-meshnet26", "b", "synthetic lesion", "one", 0.1, math.nan, math.nan, 10, 11),
    ]
    lines = table(rows).splitlines()
    assert "| `t2-lesion` | `arc-meshnet26` |" in lines[0]
    assert "| synthetic lesion (3) | lesion Dice, mean | ≥ 0.75 | 0.700 (missed) | 0.100 |" in lines
    assert "| synthetic lesion (3) | volume, Pearson's r | ≥ 0.95 | 0.996 | - |" in lines


def test_every_measure_has_a_target() -> None:
    assert all((measure.least is None) != (measure.most is None) for measure in MEASURES)


def test_unseen_contrasts_lie_outside_what_training_draws() -> None:
    subjects = list(unseen_contrasts(ball_head("colin27")))
    assert len(subjects) >= 10
    for subject in subjects:
        csf, grey, white = subject.contrast.means[:3]
        assert not 0.28 <= grey / csf <= 0.72
        assert not 0.52 <= white / grey <= 0.88
        assert subject.lesion is None
