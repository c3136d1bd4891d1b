"""The candidates of `meshnet-evaluate --model`: models and label volumes of other tools, their scans, and the brain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from meshnet.infer.open_model import check_input
from meshnet.lab.model_runs import Brain, Candidate, Failure
from meshnet.model.label_roles import context_indices, lesion_indices
from meshnet.model.shipped import find_model, is_model
from meshnet.model.spec import ModelSpec, SpecError, read_spec, slug
from meshnet.score.data_set import ReferenceScan
from meshnet.score.label_pairs import find_labels, references_of
from meshnet.train.config import ConfigError, nearest


class Skipped:
    """Scans that a candidate isn't scored on: `missing` are errors, `sentences` are facts for the report."""

    def __init__(self) -> None:
        self.missing: list[Failure] = []
        self.sentences: list[str] = []


def find_candidate(given: str, scans: Sequence[ReferenceScan], label: int | None) -> Candidate:
    """A model by folder or id, or a folder of label volumes; `NAME=` before it names it in the tables.

    Raises SpecError, ConfigError or ScanError for something else, and for a model without a lesion.
    """
    name, equals, path = given.partition("=") if "=" in given and not Path(given).exists() else ("", "", given)
    source = Path(path)
    if source.is_file() and source.name != "model.json":
        raise ConfigError(
            f"--model {given}: is a file; expected a model folder, a known id, or a folder of label volumes"
        )
    if is_model(source) or not source.is_dir():
        folder = find_model(source)
        spec = read_spec(folder / "model.json")
        check_input(spec)
        if not lesion_indices(spec):
            raise SpecError(
                f"--model {given}: {spec.id} segments {spec.task}; expected a model with a lesion among its labels"
            )
        return Candidate(slug(name) if equals else spec.id, folder)
    labels = _by_scan(source, scans)
    if not labels:
        raise ConfigError(
            f"--model {given}: none of its label files belongs to one of the {len(scans)} scans; expected names that "
            f"begin with the scan's name ({scans[0].name}) or hold its subject (sub-{scans[0].subject})"
        )
    return Candidate(slug(name or source.resolve().name), labels=tuple(sorted(labels.items())), label=label)


def _by_scan(folder: Path, scans: Sequence[ReferenceScan]) -> dict[str, Path]:
    """The label file of each scan. Raises ConfigError where two files belong to one scan."""
    files, _ = find_labels(folder)
    of_reference = {scan.mask: scan.name for scan in scans}
    named = {scan.name: scan.name for scan in scans}
    found: dict[str, list[Path]] = {}
    for file in files:
        fitting = references_of(file, list(of_reference))
        names = {of_reference[mask] for mask in fitting} or ({named[file.stem]} if file.stem in named else set())
        if len(names) == 1:
            found.setdefault(names.pop(), []).append(file)
    for name, paths in found.items():
        if len(paths) > 1:
            both = " and ".join(str(path) for path in paths[:2])
            raise ConfigError(f"{folder}: {both} both belong to the scan {name}; keep one label file per scan")
    return {name: paths[0] for name, paths in found.items()}


def check_names(candidates: Sequence[Candidate], reference_model: str) -> None:
    names = [candidate.name for candidate in candidates]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ConfigError(f"--model: two are called {double}; name one of them: --model NAME=FOLDER")
    if reference_model and reference_model not in names:
        raise ConfigError(
            f"--reference-model {reference_model}: expected one of the models, {', '.join(names)}"
            f"{nearest(reference_model, names)}"
        )


def suitable_scans(candidate: Candidate, scans: Sequence[ReferenceScan], skipped: Skipped) -> list[ReferenceScan]:
    """The scans that a candidate is scored on: a model's contrasts, or the scans with a label file."""
    if candidate.model is None:
        files = dict(candidate.labels)
        reason = "no label file of this scan in the folder"
        skipped.missing += [Failure(candidate.name, s.name, reason) for s in scans if s.name not in files]
        return [scan for scan in scans if scan.name in files]
    spec = read_spec(candidate.model / "model.json")
    other = [scan for scan in scans if not _takes(spec, scan)]
    if other:
        contrasts = ", ".join(sorted({scan.contrast for scan in other}))
        skipped.sentences.append(
            f"{candidate.name}: {len(other)} scans of another contrast than it was made for ({contrasts})"
        )
    return [scan for scan in scans if _takes(spec, scan)]


def _takes(spec: ModelSpec, scan: ReferenceScan) -> bool:
    """Whether a model was made for a scan's contrast; an unknown contrast fits every model."""
    return not spec.modality or not scan.contrast or scan.contrast.lower() in {m.lower() for m in spec.modality}


def find_brain(
    masks_folder: Path | None, model: str, scans: Sequence[ReferenceScan], candidates: Sequence[Candidate]
) -> tuple[Brain, str]:
    """Where the brain is known from, and a sentence about it. Raises ConfigError, SpecError or ScanError."""
    if masks_folder is not None and model:
        raise ConfigError("--brain-masks and --brain-model: give one of them")
    if masks_folder is not None:
        masks = _by_scan(masks_folder, scans)
        without = [scan.name for scan in scans if scan.name not in masks]
        if without:
            raise ConfigError(
                f"--brain-masks {masks_folder}: no mask for {len(without)} of the {len(scans)} scans, the first is "
                f"{without[0]}; expected one for each"
            )
        return Brain(tuple(sorted(masks.items()))), f"The brain is that of the masks in {masks_folder.name}."
    if model:
        folder = find_model(Path(model))
        spec = read_spec(folder / "model.json")
        check_input(spec)
        if set(lesion_indices(spec)) == {label.index for label in spec.labels if label.index}:
            raise SpecError(f"--brain-model {model}: has lesion labels only; expected labels of the brain")
        return Brain(model=folder), f"The brain is every label above 0 of the model {spec.id}, with the reference."
    own = [c.name for c in candidates if c.model is not None and context_indices(read_spec(c.model / "model.json"))]
    if not own:
        return Brain(), ""
    return Brain(), f"The brain is the largest connected part of the model's own labels, for {', '.join(own)} only."


def described(candidate: Candidate) -> str:
    if candidate.model is None:
        return f"label volumes of another tool, {len(candidate.labels)} files"
    spec = read_spec(candidate.model / "model.json")
    contrasts = ", ".join(spec.modality) or "any contrast"
    return (
        f"{spec.name}, {spec.task}, {contrasts}; trained on: {spec.provenance.data}; weights {spec.weights.sha256[:12]}"
    )
