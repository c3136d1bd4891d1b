"""One scan of a BIDS data set: segment it and write its results, in this process or in a worker."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from meshnet.bids.layout import Job, dseg_table
from meshnet.bids.mosaic import write_mosaic
from meshnet.infer.confidence import Confidence, has_probabilities
from meshnet.infer.lesions import lesion_labels
from meshnet.infer.one_scan import segment_scan
from meshnet.infer.open_model import OpenModel, open_model
from meshnet.infer.outputs import sidecar_path
from meshnet.infer.report.of_run import write_scan_page
from meshnet.infer.sidecar import Engine, Settings, Sidecar, make_sidecar, read_sidecar, source_file, write_sidecar
from meshnet.model.spec import ModelSpec
from meshnet.scan.file_errors import sentence_of
from meshnet.scan.nifti import read_scan, save_labels
from meshnet.scan.replacing import write_text


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that every scan shares."""

    model: Path
    backend: str | None
    threads: int
    settings: Settings
    command: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of one scan. state: `done`, `before` (an earlier run did it) or `failed`."""

    job: Job
    state: str
    reason: str = ""  #: of a failure, a sentence
    notes: tuple[str, ...] = ()  #: codes


def process(job: Job, options: RunOptions) -> Outcome:
    """Segment one scan unless its results are there. An error is this scan's failure; nothing is raised."""
    try:
        model = _model(options.model, options.backend, options.threads)
        if (sidecar := finished(job, model.spec, options.settings)) is not None:
            return Outcome(job, "before", notes=tuple(note.code for note in sidecar.notes))
        return _segment(job, model, options)
    except Exception as error:  # the other scans go on
        text = sentence_of(error) if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {error}"
        return Outcome(job, "failed", text or f"{job.image}: not enough memory")


def finished(job: Job, spec: ModelSpec, settings: Settings) -> Sidecar | None:
    """The sidecar of a finished scan whose model, settings and content are the same; else None.

    Sidecars are written last, so a scan whose worker was lost is not finished.
    """
    needed = [job.labels, job.mosaic, job.report, *([job.mask] if lesion_labels(spec) else [])]
    sidecar = read_sidecar(sidecar_path(job.labels))
    if sidecar is None or not all(path.is_file() for path in needed):
        return None
    same = (sidecar.model.sha256, sidecar.settings) == (spec.weights.sha256, settings)
    return sidecar if same and sidecar.source.sha256 == source_file("", [job.image]).sha256 else None


@lru_cache(maxsize=1)
def _model(model: Path, backend: str | None, threads: int) -> OpenModel:
    """The model, opened once per process."""
    return open_model(model, backend=backend, threads=threads)


def _segment(job: Job, model: OpenModel, options: RunOptions) -> Outcome:
    spec, settings = model.spec, options.settings
    scan = read_scan(job.image)
    confidence = Confidence(threshold=settings.threshold, flip=settings.flip, probability=has_probabilities(spec))
    result = segment_scan(
        scan,
        spec,
        model.network,
        remove_below_ml=settings.remove_below_ml,
        keep_outside_brain=settings.keep_outside_brain,
        confidence=confidence,
    )
    labels = result.prediction.labels_native
    job.folder.mkdir(parents=True, exist_ok=True)
    write_mosaic(job.mosaic, scan, labels, spec)
    save_labels(job.labels, labels, scan.header)
    table = job.labels.with_name(job.labels.name.removesuffix(".nii.gz") + ".tsv")
    write_text(table, dseg_table(spec))
    made = make_sidecar(
        spec,
        interface="command line",
        command=options.command,
        engine=Engine(backend=model.backend, device=model.device),
        source=source_file(job.image.name, [job.image]),
        settings=settings,
        volumes=result.volumes,
        notes=result.notes,
    ).model_copy(update={"bids_sources": (job.uri,), "bids_spatial_reference": "orig"})
    write_scan_page(job.report, scan, spec, result.prediction, made)
    if lesions := lesion_labels(spec):
        save_labels(job.mask, np.isin(labels, lesions).astype(np.uint8), scan.header)
        of_mask = {"bids_type": "Lesion", "bids_description": f"lesions found by {spec.name}"}
        write_sidecar(sidecar_path(job.mask), made.model_copy(update=of_mask))
    write_sidecar(sidecar_path(job.labels), made.model_copy(update={"bids_description": f"labels of {spec.name}"}))
    return Outcome(job, "done", notes=tuple(note.code for note in result.notes))
