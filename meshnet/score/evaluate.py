"""`meshnet-evaluate RUN... --data FOLDER -o REPORT`: scores finished runs on their outer test folds.

Each run's network segments the cases of the outer fold that it was not trained on. The run's folder keeps the masks and
scores of each case (`predictions-last/`, `scores-last.csv`), so that a later call scores new runs only. The tables,
figures and the HTML report cover all runs. docs/evaluation.md defines every number.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from meshnet.cohort.arguments import at_least, given_twice, out_folder
from meshnet.cohort.bids import CohortError
from meshnet.cohort.prepare import Row, read_grid, read_index
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.label_roles import mask_of
from meshnet.model.network import model_from
from meshnet.model.spec import SpecError
from meshnet.scan.file_errors import sentence_of
from meshnet.scan.nifti import new_header, save_labels
from meshnet.scan.orientation import CONFORMED, reorient
from meshnet.score.metrics import Mask, lesion_scores
from meshnet.score.restarts import count_runs, mark_collapsed
from meshnet.score.scores import Score, data_of, read_scores, write_scores
from meshnet.train.baselines import BASELINES, MESHNETS
from meshnet.train.config import ConfigError, TrainConfig, nearest
from meshnet.train.networks import LABEL_ROLES, build_network
from meshnet.train.run_folder import collapse_of, is_finished, read_config, trained_cases
from meshnet.train.sources import load_case


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Exit code 0; 2 if a run or the data can't be used."""
    args = _parser().parse_args(arguments)
    try:
        device = find_device(args.device)
        runs = find_runs(args.runs)
        configs = {run: read_config(run) for run in runs}
        titles = list(dict.fromkeys(_title(config)[0] for config in configs.values()))
        reference = _reference(args.reference, titles)
        overlay = [_known("--overlay", name, titles) for name in args.overlay.split(",") if name]
        double = given_twice(overlay)
        if double is not None:
            raise ConfigError(f"--overlay {args.overlay}: {double} is in it twice; expected different models")
        if args.state == "best":
            for run, config in configs.items():
                _check_validated(run, config)
        scores = [
            s for run in tqdm(runs, desc="runs", disable=None) for s in score_run(run, args.data, args.state, device)
        ]
        from meshnet.score.report import write_report  # matplotlib takes seconds to load

        write_report(
            scores,
            args.data,
            args.out,
            reference=reference,
            metric=args.metric,
            overlay=overlay,
            seed=args.seed,
        )
    except (ConfigError, CohortError, SpecError, OSError, ValueError) as error:
        print(f"meshnet-evaluate: {sentence_of(error)}", file=sys.stderr)
        return 2
    print(f"{args.out / 'report.html'}: {len(scores)} scores of {len(runs)} runs")
    for model, of in count_runs(scores).items():
        if of.collapsed:
            print(f"{model}: {of.collapsed} of {of.total} runs collapsed, see Table 1", file=sys.stderr)
    return 0


def find_device(name: str) -> torch.device:
    """The device of this name; for an empty one, CUDA where there is a GPU. Raises ConfigError."""
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"--device {name}: no such device; expected cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name}: expected cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise ConfigError(f"--device {name}: PyTorch finds {found} GPUs here; use --device cpu")
    return device


def _reference(name: str, titles: Sequence[str]) -> str:
    """The model that the others are tested against; empty for `none`. Raises ConfigError."""
    return "" if name == "none" else _known("--reference", name, titles, "; --reference none reports without tests")


def _known(option: str, name: str, titles: Sequence[str], hint: str = "") -> str:
    if name not in titles:
        raise ConfigError(
            f"{option} {name}: no run of this model; expected one of {', '.join(titles)}{nearest(name, titles)}{hint}"
        )
    return name


def _check_validated(run: Path, config: TrainConfig) -> None:
    """Raise ConfigError where a run had no validation, hence no best state."""
    prepared = config.data.source == "prepared"
    if (prepared and config.data.inner_fold is None) or (not prepared and config.data.validation_subjects == 0):
        raise ConfigError(
            f"{run}: --state best: the run was trained without validation, so no state is its best; use --state last, "
            f"or train with data.inner_fold=0"
        )


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Folders of finished runs at or below `paths`; prints the unfinished ones. Raises ConfigError if there is none."""
    found = sorted({c.parent for p in paths for c in [p / "config.yaml", *p.rglob("config.yaml")] if c.is_file()})
    finished = [run for run in found if is_finished(run)]
    for run in found:
        if run not in finished:
            print(f"left out: {run}: not trained to its end (no finished.json); resume it first", file=sys.stderr)
    if not finished:
        raise ConfigError(f"{', '.join(map(str, paths))}: no finished run; expected folders written by meshnet-train")
    return finished


def score_run(run: Path, data: Path, state: str, device: torch.device) -> list[Score]:
    """Scores of a run's `state` ("last" or "best") on its outer test fold, one per case.

    Scores in the run's folder are reused if they were made from these weights and this data. Raises ConfigError if the
    run was trained on cases that `data` has in the test fold (the data was split again since).
    """
    weights = run / state / "weights.safetensors"
    table = run / f"scores-{state}.csv"
    if not weights.is_file():
        raise ConfigError(f"{run}: no {state}/weights.safetensors; expected a run that meshnet-train finished")
    newest = max(path.stat().st_mtime_ns for path in (weights, data / "index.csv") if path.is_file())
    if table.is_file() and table.stat().st_mtime_ns > newest and data_of(table) == str(data.resolve()):
        return read_scores(table)
    config = read_config(run)
    rows = [r for r in read_index(data) if r.outer_fold == config.fold]
    if not rows:
        raise ConfigError(f"{run}: {data} has no test cases for fold {config.fold}")
    seen = sorted({r.name for r in rows} & (trained_cases(run) or set()))
    if seen:
        raise ConfigError(
            f"{run}: trained on {len(seen)} of the {len(rows)} cases that {data} has in test fold {config.fold} "
            f"({', '.join(seen[:3])}…); expected the folds it was trained with: give that folder, or train again"
        )
    title, parameters = _title(config)
    _, voxel_size_mm = read_grid(data)
    scores: list[Score] = []
    network: nn.Module | None = None
    for row in tqdm(rows, desc=run.name, unit="case", leave=False, disable=None):
        item = load_case(data, row, config.data.orientation)
        if network is None:
            size = (item.image.shape[0], item.image.shape[1], item.image.shape[2])
            network = load_network(run / state, config, size).to(device)
        predicted = only_lesion(segment(network, item.image, device), config)
        saved = _save_prediction(
            run / f"predictions-{state}",
            data,
            row,
            reorient(predicted, start=config.data.orientation, end=CONFORMED),
        )
        values = _scores_of(predicted > 0, item.labels > 0, voxel_size_mm)
        empty = bool(item.labels.any()) and not predicted.any()
        head = (title, parameters, config.fold, config.restart, row.subject, row.name)
        scores.append(Score(*head, saved, values, empty=empty))
    scores = mark_collapsed(scores, collapse_of(run))
    write_scores(table, scores, data)
    return scores


def _scores_of(predicted: Mask, true: Mask, voxel_size_mm: float) -> dict[str, float]:
    """All scores of one case; an infinite HD95 (one mask is empty) becomes the diagonal of the image, the largest
    distance of two voxels."""
    values = lesion_scores(predicted, true, (voxel_size_mm,) * 3)
    if math.isinf(values["hd95_mm"]):
        values["hd95_mm"] = voxel_size_mm * math.hypot(*(side - 1 for side in true.shape))
    return values


def load_network(folder: Path, config: TrainConfig, size: tuple[int, int, int]) -> nn.Module:
    """The network of a run's state in PyTorch's eval mode; `size`: voxels along D, H, W."""
    if config.model.kind == "meshnet":
        spec, weights = load_checkpoint(folder)
        return model_from(spec.architecture, weights)
    network = build_network(config, size)
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    return network.eval()


@torch.inference_mode()
def segment(network: nn.Module, image: NDArray[np.float32], device: torch.device) -> NDArray[np.uint8]:
    """Labels uint8 [D, H, W] of a normalised image float32 [D, H, W]; half precision on CUDA, as in training."""
    batch = torch.from_numpy(image)[None, None].to(device)
    with torch.autocast(device.type, dtype=torch.float16, enabled=device.type == "cuda"):
        labels = network(batch)[0].argmax(dim=0)
    return cast(NDArray[np.uint8], labels.to("cpu", torch.uint8).numpy())


def only_lesion(labels: NDArray[np.uint8], config: TrainConfig) -> NDArray[np.uint8]:
    """Labels of a run's network without the tissue around the lesion; prepared references hold the lesion only."""
    roles = LABEL_ROLES.get(config.data.task, ())
    context = [index for index, role in enumerate(roles) if role == "context"]
    return np.where(mask_of(labels, context), np.uint8(0), labels) if context else labels


def _save_prediction(folder: Path, data: Path, row: Row, labels: NDArray[np.uint8]) -> Path:
    image = cast(nib.Nifti1Image, nib.load(data / row.labels))
    header = new_header(np.asarray(image.affine, np.float64), labels.shape, code=1)
    path = folder / f"{row.name}.nii.gz"
    save_labels(path, labels, header)
    return path


def _title(config: TrainConfig) -> tuple[str, int]:
    """The model's name and parameter count in the paper's table."""
    if config.model.kind != "meshnet":
        baseline = BASELINES[config.model.kind]
        return baseline.title, baseline.parameters
    network = build_network(config)
    count = sum(p.numel() for p in network.parameters())
    known = {parameters: title for title, parameters in MESHNETS.values()}
    return known.get(count, f"MeshNet-{config.model.channels} ({config.model.activation})"), count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-evaluate", description="Score finished runs on their outer test folds and write the report."
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of meshnet-train, or folders of them")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder written by meshnet-prepare that the runs were trained on"
    )
    parser.add_argument(
        "-o", "--out", type=out_folder, required=True, help="folder for tables, figures and report.html"
    )
    parser.add_argument(
        "--reference",
        default="MeshNet-26",
        help="model that the others are tested against (default %(default)s); none: no tests",
    )
    parser.add_argument(
        "--metric",
        choices=("dice_macro", "dice_lesion"),
        default="dice_macro",
        help="of the figures: dice_macro, the paper's DICE (default), or dice_lesion",
    )
    parser.add_argument(
        "--overlay",
        default="",
        metavar="MODEL,...",
        help="up to five models of Figure 3, as Table 1 names them (default: the reference and the best others)",
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the subjects drawn for Figure 3 (default 0)")
    parser.add_argument(
        "--state", choices=("last", "best"), default="last", help="state of the runs (default last, as in the paper)"
    )
    parser.add_argument("--device", default="", help="cpu, cuda, cuda:1, ... (default: cuda if there is one)")
    return parser
