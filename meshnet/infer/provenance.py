"""Sidecars of `meshnet-predict`: written beside a result, and read to find out whether a result is still valid."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.open_model import OpenModel
from meshnet.infer.outputs import sidecar_path
from meshnet.infer.sidecar import (
    Engine,
    Settings,
    Sidecar,
    make_sidecar,
    read_sidecar,
    source_file,
    write_sidecar,
)
from meshnet.infer.sources import Source
from meshnet.model.spec import Label
from meshnet.scan.label_files import read_saved_labels
from meshnet.scan.nifti import Scan
from meshnet.scan.notes import Note
from meshnet.scan.scan_grid import resample_labels
from meshnet.scan.scan_stream import ScanError


def settings_of(args: argparse.Namespace) -> Settings:
    """The options of a command line that change the labels."""
    return Settings(
        threshold=args.threshold,
        flip=args.flip,
        remove_below_ml=args.remove_below,
        keep_outside_brain=args.keep_outside_brain,
        all_labels=args.all_labels,
    )


def sidecar_of(
    source: Source,
    args: argparse.Namespace,
    model: OpenModel,
    *,
    volumes: Sequence[tuple[Label, int, float]],
    notes: Sequence[Note],
) -> Sidecar:
    """How a result of this run was made."""
    return make_sidecar(
        model.spec,
        interface="command line",
        command=args.command,
        engine=Engine(backend=model.backend, device=model.device),
        source=source_file(source.name.name, source.files, frame=args.frame),
        space=args.space,
        settings=settings_of(args),
        volumes=volumes,
        notes=notes,
    )


def save_sidecar(output: Path, sidecar: Sidecar, *, asked: bool) -> None:
    """Write the sidecar of a result if it was asked for, or if an earlier run left one, which is out of date now."""
    path = sidecar_path(output)
    if asked or read_sidecar(path) is not None:
        write_sidecar(path, sidecar)


def earlier_result(
    output: Path, scan: Scan, source: Source, args: argparse.Namespace, model: OpenModel
) -> tuple[NDArray[np.uint8], list[Note]] | None:
    """The labels of an earlier run on the scan's own grid, and the notes in its sidecar; none without a sidecar.

    Returns None if there is no readable result of this model, or if its sidecar says another model, other settings or
    another scan.
    """
    try:
        labels, affine = read_saved_labels(output)
    except (ScanError, OSError):
        return None
    if not _are_labels_of(labels, model.spec.architecture.classes):
        return None
    notes: list[Note] = []
    if (sidecar := read_sidecar(sidecar_path(output))) is not None:
        made_from = (sidecar.model.sha256, sidecar.settings, sidecar.source.sha256, sidecar.source.frame)
        given = source_file(source.name.name, source.files, frame=args.frame)
        if made_from != (model.spec.weights.sha256, settings_of(args), given.sha256, given.frame):
            return None
        notes = [Note(note.code, note.text) for note in sidecar.notes]
    return resample_labels(labels.astype(np.uint8), affine, scan.affine_vox2ras, scan.data.shape), notes


def _are_labels_of(labels: NDArray[Any], classes: int) -> bool:
    """Whether these are voxels of a volume with the labels 0 to `classes` - 1 alone."""
    if labels.ndim != 3 or labels.dtype.kind not in "iuf" or labels.size == 0:
        return False
    return bool(((labels >= 0) & (labels < classes) & (labels == np.floor(labels))).all())
