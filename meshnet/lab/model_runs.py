"""Segment the scans of a data set with finished models, and score the labels against the reference.

One job is one model on one scan. Labels and scores stay in files, so that a later call does only what is new. Jobs run
one after the other in this process, or side by side on Ray.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.cohort.bids import CohortError
from meshnet.infer.one_scan import predict
from meshnet.infer.open_model import OpenModel, open_model
from meshnet.model.label_roles import context_indices, lesion_indices, mask_of
from meshnet.model.spec import read_spec
from meshnet.scan.file_errors import sentence_of
from meshnet.scan.label_files import read_labels
from meshnet.scan.nifti import read_scan, save_labels
from meshnet.scan.scan_grid import volume_ml
from meshnet.scan.scan_stream import ScanError
from meshnet.score.compare import read_mask
from meshnet.score.data_set import ReferenceScan
from meshnet.score.metrics import Mask
from meshnet.score.scan_scores import (
    VERSION,
    ScanScore,
    lesion_values,
    onto_grid,
    own_brain,
    read_scan_score,
    write_scan_score,
)
from meshnet.version import __version__


@dataclass(frozen=True)
class Candidate:
    """Something to score. name: in tables and folders. model: a model folder, or None; labels: else the label file of
    each scan, by the scan's name. label: the lesion's number in those files, None for all above 0."""

    name: str
    model: Path | None = None
    labels: tuple[tuple[str, Path], ...] = ()
    label: int | None = None


@dataclass(frozen=True)
class Brain:
    """Where the brain of each scan is known from: mask files by the scan's name, or a model; neither: the candidate's
    labels, if it shows the brain."""

    masks: tuple[tuple[str, Path], ...] = ()
    model: Path | None = None


@dataclass(frozen=True)
class Job:
    """A candidate on a scan. out: folder that keeps labels and scores. segment_only: write labels, score nothing."""

    candidate: Candidate
    scan: ReferenceScan
    brain: Brain
    out: Path
    backend: str
    threads: int
    segment_only: bool = False


@dataclass(frozen=True)
class Failure:
    """A job that failed, in one line."""

    candidate: str
    scan: str
    reason: str


def run_here(jobs: Sequence[Job]) -> Iterator[ScanScore | Failure | None]:
    """The results of the jobs, one after the other in this process; None for a job that only segments."""
    return map(run_job, jobs)


def run_on_ray(jobs: Sequence[Job], *, cpus: int, retries: int = 3) -> Iterator[ScanScore | Failure | None]:
    """The results of the jobs on the connected Ray, as they are done. cpus: of one job; retries: of a lost worker."""
    import ray
    from ray.exceptions import RayError

    remote: Any = ray.remote(num_cpus=cpus, max_retries=retries)(run_job)
    pending = {remote.remote(job): job for job in jobs}
    while pending:
        ready, _ = ray.wait(list(pending), num_returns=1)
        job = pending.pop(ready[0])
        try:
            yield ray.get(ready[0])
        except RayError as error:  # lost more than `retries` times
            yield Failure(job.candidate.name, job.scan.name, f"worker lost: {str(error).splitlines()[-1]}")


def run_job(job: Job) -> ScanScore | Failure | None:
    """Score one candidate on one scan, from kept files where they fit. An error fails this job alone."""
    try:
        if job.segment_only:
            _model_labels(job, job.candidate)
            return None
        return _score(job)
    except (ScanError, CohortError, OSError, MemoryError, ValueError) as error:
        return Failure(job.candidate.name, job.scan.name, sentence_of(error) or "not enough memory")


def _score(job: Job) -> ScanScore:
    candidate, scan = job.candidate, job.scan
    path = job.out / "scores" / candidate.name / f"{scan.name}.json"
    key = _key_of_score(job)
    kept = read_scan_score(path, key)
    if kept is not None:
        return kept
    true, affine = read_mask(scan.mask)
    brain: Mask | None = None
    if candidate.model is not None:
        spec = read_spec(candidate.model / "model.json")
        labels, labels_affine = _model_labels(job, candidate)
        predicted = mask_of(labels, lesion_indices(spec))
        if context_indices(spec) and not job.brain.masks and job.brain.model is None:
            brain = own_brain(labels)
        where = scan.image
    else:
        where = dict(candidate.labels)[scan.name]
        predicted, labels_affine = read_mask(where, candidate.label)
    predicted = onto_grid(predicted, labels_affine, affine, true.shape, name=str(where))
    if brain is not None:
        brain = onto_grid(brain, labels_affine, affine, true.shape, name=str(where))
    else:
        brain = _given_brain(job, affine, true.shape)
    values, lesion_ml, found = lesion_values(predicted, true, affine, brain)
    reference_ml, result_ml = (volume_ml(int(np.count_nonzero(mask)), affine) for mask in (true, predicted))
    lesions = (tuple(lesion_ml), tuple(found))
    score = ScanScore(candidate.name, scan.name, scan.subject, reference_ml, result_ml, values, *lesions, key)
    write_scan_score(path, score)
    return score


def _given_brain(job: Job, affine: NDArray[np.float64], shape: tuple[int, ...]) -> Mask | None:
    """The brain from a mask file or the brain model's labels, on the reference's grid."""
    if job.brain.masks:
        path = dict(job.brain.masks)[job.scan.name]
        mask, own = read_mask(path)
        return onto_grid(mask, own, affine, shape, name=str(path))
    if job.brain.model is not None:
        labels, own = _model_labels(job, Candidate(read_spec(job.brain.model / "model.json").id, job.brain.model))
        return onto_grid(labels > 0, own, affine, shape, name=str(job.scan.image))
    return None


def _model_labels(job: Job, candidate: Candidate) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Labels uint8 of a model on the scan's own grid, and the affine: kept ones if they are this model's of this file,
    else computed and kept."""
    if candidate.model is None:
        raise ValueError(f"{candidate.name}: expected a model")
    path = job.out / "labels" / candidate.name / f"{job.scan.name}.nii.gz"
    note = path.with_name(f"{job.scan.name}.json")
    key = _key_of_labels(candidate.model, job.scan)
    try:
        if json.loads(note.read_text(encoding="utf-8")) == key:
            labels, affine = read_labels(path)
            return labels.astype(np.uint8), affine
    except (OSError, ValueError, ScanError):
        pass  # computed below
    scan = read_scan(job.scan.image)
    model = _opened(candidate.model, job.backend, job.threads)
    labels = predict(scan, model.spec, model.network).labels_native
    path.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)  # so that labels and note never disagree
    save_labels(path, labels, scan.header)
    partial = note.with_suffix(f".partial{os.getpid()}")
    partial.write_text(json.dumps(key), encoding="utf-8")
    os.replace(partial, note)
    return labels, scan.affine_vox2ras


@lru_cache(maxsize=1)  # jobs of one model follow each other
def _opened(model: Path, backend: str, threads: int) -> OpenModel:
    return open_model(model, backend=backend, threads=threads)


def _key_of_labels(model: Path, scan: ReferenceScan) -> dict[str, Any]:
    spec = read_spec(model / "model.json")
    return {"weights": spec.weights.sha256, "image": _stamp(scan.image), "version": __version__}


def _key_of_score(job: Job) -> dict[str, Any]:
    candidate, scan, brain = job.candidate, job.scan, job.brain
    key: dict[str, Any] = {"scores": VERSION, "mask": _stamp(scan.mask), "brain": None}
    if candidate.model is not None:
        key |= _key_of_labels(candidate.model, scan)
        key["lesion"] = list(lesion_indices(read_spec(candidate.model / "model.json")))
    else:
        key |= {"labels": _stamp(dict(candidate.labels)[scan.name]), "label": candidate.label}
    if brain.masks:
        key["brain"] = _stamp(dict(brain.masks)[scan.name])
    elif brain.model is not None:
        key["brain"] = _key_of_labels(brain.model, scan)
    return key


def _stamp(path: Path) -> list[Any]:
    """File, size and time of the last change: another file is scored again."""
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
