"""meshnet-evaluate, from trained runs to the report, with numbers checked by hand."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from meshnet.cohort.prepare import read_index
from meshnet.score import evaluate
from meshnet.score.scores import METRICS
from meshnet.train import cli as train
from meshnet.train.config import ConfigError

pytestmark = pytest.mark.usefixtures("threads_restored")


@pytest.fixture(scope="module")
def runs(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks of different width on two outer folds, trained long enough to find some lesion."""
    root = tmp_path_factory.mktemp("runs")
    recipe = ["trainer=cpu", "trainer.threads=1", "trainer.epochs=8", "optimizer.lr=0.03", "loss.dice=1"]
    network = ["model.dilations=[1,2,1]", "model.activation=elu"]
    for channels in (3, 5):
        for fold in (0, 1):
            own = [f"model.channels={channels}", f"fold={fold}", f"run='{root}/c{channels}-f{fold}'"]
            assert train.main([*recipe, *network, *own, f"data={prepared}"]) == 0
    return root


@pytest.fixture(scope="module")
def report(prepared: Path, runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    options = ["--reference", "MeshNet-5 (elu)", "--device", "cpu"]
    assert evaluate.main([str(runs), "--data", str(prepared), "-o", str(out), *options]) == 0
    return out


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_table_and_figure_is_written(report: Path) -> None:
    figures = {f"fig{n}.{ending}" for n in (1, 2, 3) for ending in ("png", "svg")}
    tables = {f"{name}.{ending}" for name in ("table1", "all-metrics") for ending in ("md", "csv", "tex")}
    tables |= {"scores.csv", "report.html"}
    assert {p.name for p in report.iterdir()} == figures | tables
    assert all(p.stat().st_size > 0 for p in report.iterdir())
    for name in ("MeshNet-3 (elu)", "MeshNet-5 (elu)"):
        assert name in (report / "table1.md").read_text()
        assert name in (report / "table1.tex").read_text()
        assert name in (report / "report.html").read_text()


def test_each_run_is_scored_on_its_test_fold_alone(prepared: Path, report: Path) -> None:
    scores = table_of(report / "scores.csv")
    folds = {r.name: r.outer_fold for r in read_index(prepared)}
    assert all(folds[s["name"]] == int(s["fold"]) for s in scores)
    tested = [name for name, fold in folds.items() if fold in (0, 1)]
    assert sorted(s["name"] for s in scores) == sorted(tested * 2)


def test_the_scores_of_a_case_are_those_counted_by_hand(prepared: Path, runs: Path, report: Path) -> None:
    score = max(table_of(report / "scores.csv"), key=lambda s: float(s["dice_lesion"]))
    row = next(r for r in read_index(prepared) if r.name == score["name"])
    run = runs / f"c{score['model'][8]}-f{score['fold']}"
    saved = nib.load(run / "predictions-last" / f"{row.name}.nii.gz")
    truth_image = nib.load(prepared / row.labels)
    np.testing.assert_array_equal(saved.affine, truth_image.affine)
    predicted, truth = np.asarray(saved.dataobj) > 0, np.asarray(truth_image.dataobj) > 0
    tp, fp, fn, tn = (int((a & b).sum()) for a in (predicted, ~predicted) for b in (truth, ~truth))
    assert tp > 0
    lesion, background = 2 * tp / (2 * tp + fp + fn), 2 * tn / (2 * tn + fp + fn)
    expected = {
        "dice_lesion": lesion,
        "dice_macro": (lesion + background) / 2,
        "avd": abs(fp - fn) / (tp + fn),
        "mcc": np.corrcoef(predicted.ravel(), truth.ravel())[0, 1],
        "volume_error_ml": (fp - fn) * abs(np.linalg.det(truth_image.affine[:3, :3])) / 1000,
    }
    assert {m: float(score[m]) for m in expected} == pytest.approx(expected)
    c = int(score["model"][8])  # three convolutions with bias, BatchNorm's two parameters each, the classifier
    assert int(score["parameters"]) == (27 * c + 2 * 27 * c * c + 3 * c) + 3 * 2 * c + (2 * c + 2)


def test_the_table_holds_the_means_over_subjects(report: Path) -> None:
    scores, table = table_of(report / "scores.csv"), table_of(report / "all-metrics.csv")
    assert len(table) == 2 * len(METRICS)
    for line in table:
        if line["metric"] not in ("dice_lesion", "dice_macro", "mcc"):
            continue
        of_subject: dict[str, list[float]] = {}
        for s in scores:
            if s["model"] == line["model"]:
                of_subject.setdefault(s["subject"], []).append(float(s[line["metric"]]))
        means = [float(np.mean(values)) for values in of_subject.values()]
        assert int(line["subjects"]) == len(means)
        assert float(line["mean"]) == pytest.approx(np.mean(means))
        assert float(line["sd_subjects"]) == pytest.approx(np.std(means, ddof=1))


def test_the_html_report_needs_no_other_file(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r"""(?:src|href|url|srcset|@import)\s*[=(]?\s*["']?([^"'>) ]+)""", page)
    assert len(sources) == 3
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)


def test_a_second_report_scores_nothing_again(
    prepared: Path, runs: Path, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a case was segmented again")

    monkeypatch.setattr(evaluate, "segment", refuse)
    assert evaluate.main([str(runs), "--data", str(prepared), "-o", str(tmp_path), "--reference", "none"]) == 0
    assert (tmp_path / "scores.csv").read_text() == (report / "scores.csv").read_text()
    assert "No reference model: no tests." in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--reference MeshNet-26: no run of this model; expected one of MeshNet-3 (elu), MeshNet-5 (elu)"),
        (["--reference", "MeshNet5 elu"], "--reference MeshNet5 elu: no run of this model"),
        (["--reference", "MeshNet5 elu"], "did you mean MeshNet-5 (elu)?"),
        (["--reference", "none", "--overlay", "Foo"], "--overlay Foo: no run of this model"),
        (["--reference", "none", "--overlay", "MeshNet-5 (elu),MeshNet-5 (elu)"], "is in it twice; expected different"),
        (["--reference", "none", "--seed", "-1"], "--seed: expected a whole number of 0 or more, got -1"),
        (
            ["--reference", "none", "-o", "{file}"],
            "config.yaml is a file; expected a folder",
        ),
        (["--reference", "none", "--state", "best"], "the run was trained without validation"),
        (["--device", "tpu9"], "--device tpu9: no such device; expected cpu, cuda or cuda:N"),
        (["--device", "cuda"], "--device cuda: PyTorch finds 0 GPUs here; use --device cpu"),
        (["--device", "meta"], "--device meta: expected cpu, cuda or cuda:N"),
    ],
)
def test_an_option_that_cannot_be_followed_is_an_error(  # noqa: PLR0917
    prepared: Path,
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    words = [word.format(file=next(runs.rglob("config.yaml"))) for word in options]
    try:
        code: object = evaluate.main([str(runs), "--data", str(prepared), "-o", str(tmp_path / "out"), *words])
    except SystemExit as refused:  # by argparse
        code = refused.code
    assert code == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_a_scan_without_prediction_counts_with_the_diagonal_of_the_image() -> None:
    true = np.zeros((10, 20, 30), bool)
    true[2:4, 2:4, 2:4] = True
    values = evaluate._scores_of(np.zeros_like(true), true, 2.0)
    assert values["hd95_mm"] == pytest.approx(2 * np.sqrt(9**2 + 19**2 + 29**2))
    assert values["dice_lesion"] == 0.0


def test_scores_of_another_data_folder_are_not_taken_for_these(
    prepared: Path, runs: Path, report: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name in ("index.csv", "prepared.json", "volumes"):
        (other / name).symlink_to(prepared / name)
    run = next(p for p in runs.iterdir() if p.name == "c3-f0")
    before = (run / "scores-last.csv").stat().st_mtime_ns
    evaluate.score_run(run, other, "last", torch.device("cpu"))
    assert (run / "scores-last.csv").stat().st_mtime_ns > before


def test_unfinished_runs_are_named_and_a_folder_without_runs_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.yaml").write_text("id: x\n")
    assert [p.name for p in evaluate.find_runs([tmp_path, runs / "c3-f0"])] == ["c3-f0"]
    assert "begun: not trained to its end (no finished.json); resume it first" in capsys.readouterr().err
    assert evaluate.main([str(tmp_path / "begun"), "--data", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "no finished run; expected folders written by meshnet-train" in capsys.readouterr().err


def test_a_run_is_not_tested_on_cases_it_has_trained_on(
    prepared: Path, runs: Path, report: Path, tmp_path: Path
) -> None:
    """The same data split anew: what was in fold 1 is now tested as fold 0."""
    other = tmp_path / "other"
    other.mkdir()
    for name in ("prepared.json", "volumes"):
        (other / name).symlink_to(prepared / name)
    rows = table_of(prepared / "index.csv")
    with (other / "index.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"outer_fold": {"0": "1", "1": "0"}.get(row["outer_fold"], "2")} for row in rows)
    with pytest.raises(ConfigError, match=r"c3-f0: trained on \d+ of the \d+ cases .* in test fold 0"):
        evaluate.score_run(runs / "c3-f0", other, "last", torch.device("cpu"))
