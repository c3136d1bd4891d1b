"""Every shipped and published model, a whole 256³ scan for each, and PyTorch's labels: for long tests of engines."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np

from export.published import PUBLISHED, import_one
from export.to_web import write_web
from meshnet.infer.run_torch import run_torch
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.graph import build_graph
from meshnet.scan.normalize import normalize
from meshnet.scan.orientation import reorient
from tests.helpers.engine_cases import BuiltCase
from tests.helpers.paths import REPO

#: Conformed scans of the data folder.
SCAN_OF_MODEL = {
    "t2-lesion": "M2265_T2w",
    "tissue": "t1_crop",
    "brainchop-t2-lesion": "M2265_T2w",
    "arc-meshnet26": "M2265_T2w",
    "brainchop-model5-gw-ae": "t1_crop",
    "brainchop-model11-gw-ae": "t1_crop",
    "brainchop-mindgrab": "t1_crop",
    "brainchop-model21-104class": "t1_crop",
    "brainchop-model30chan18cls": "t1_crop",
}


def whole_case(shared_data: Path, folder: Path, model: str) -> BuiltCase:
    """The model's web bundle, its scan as the site hands it over, and PyTorch's labels, kept in `folder`."""
    source = REPO / "models" / model
    if not source.is_dir():
        published = next(entry for entry in PUBLISHED if entry.id == model)
        import_one(published, shared_data / "models", folder)
        source = folder / model
    spec, weights = load_checkpoint(source)
    write_web(folder / f"{model}-web", spec, weights)
    bundle = folder / f"{model}-web"
    scan = np.asanyarray(nib.load(shared_data / "scans" / f"{SCAN_OF_MODEL[model]}.nii.gz").dataobj)
    image = normalize(reorient(scan, end=spec.input.orientation), spec.input.normalization)
    kept = folder / f"{model}-labels.npy"
    if not kept.exists():
        np.save(kept, run_torch(build_graph(spec, weights), image, threads=os.cpu_count() or 1))
    return BuiltCase(
        image.shape,
        (bundle / "model.json").read_text(encoding="utf-8"),
        (bundle / "weights.safetensors").read_bytes(),
        np.ascontiguousarray(image.transpose(2, 1, 0)[None]),
        labels=np.load(kept).transpose(2, 1, 0),
    )
