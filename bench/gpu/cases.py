"""The networks of the report, and the volume that each is run on.

A shipped model gets the sample scan of its contrast, conformed and normalised as on the page; a MeshNet-X of the paper
has random weights and gets the benchmark's volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.deno import REPO
from bench.inputs import Model, onnx_file, paper_model, volume, web_bundle
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.graph import stored_model
from meshnet.model.spec import ModelSpec
from meshnet.scan.conform import conform
from meshnet.scan.nifti import read_scan
from meshnet.scan.normalize import normalize

#: Widths of the paper's MeshNet-X.
PAPER_WIDTHS = (5, 16, 26)


@dataclass(frozen=True)
class Case:
    """A network and its volume. bundle: folder of model.json and weights.safetensors, BatchNorm folded; ijk, zyx:
    files of the image, float32, with k or i running fastest; labels: file of PyTorch's labels, uint8 [i, j, k]."""

    name: str
    spec: ModelSpec
    bundle: Path
    onnx: Path
    ijk: Path
    zyx: Path
    labels: Path
    size: int

    def voxels(self) -> int:
        return self.size**3


def all_names() -> list[str]:
    """The shipped models and MeshNet-5, -16 and -26, small networks first."""
    shipped = sorted(path.parent.name for path in (REPO / "models").glob("*/model.json"))
    paper = [f"meshnet-{width}" for width in PAPER_WIDTHS]
    return [paper[0], *shipped, *paper[1:]]


def make_case(name: str, work: Path, size: int) -> Case:
    """The files of one case; written where they are missing. Raises SpecError for an unknown model."""
    model = _model(name, work)
    bundle = web_bundle(model)
    files = {order: work / "volumes" / f"{name}-{size}.{order}.f32" for order in ("ijk", "zyx")}
    if not files["zyx"].exists():
        image = volume(size) if name.startswith("meshnet-") else sample_crop(model.spec, size)
        files["ijk"].parent.mkdir(parents=True, exist_ok=True)
        image.tofile(files["ijk"])
        np.ascontiguousarray(image.transpose(2, 1, 0)).tofile(files["zyx"])
    labels = work / "labels" / f"{name}-{size}.u8"
    labels.parent.mkdir(parents=True, exist_ok=True)
    return Case(name, model.spec, bundle, model.folder / "model.onnx", files["ijk"], files["zyx"], labels, size)


def write_models(names: list[str], work: Path) -> None:
    """Write the web bundle and the ONNX file of each case, for a machine that lacks the package onnx."""
    for name in names:
        model = _model(name, work)
        web_bundle(model)
        onnx_file(model)


def _model(name: str, work: Path) -> Model:
    folder = work / "models" / name
    if (folder / "web" / "model.json").is_file():
        return Model(name, *load_checkpoint(folder / "web"), folder)
    if name.startswith("meshnet-"):
        return paper_model(int(name.removeprefix("meshnet-")), work)
    spec, weights = load_checkpoint(REPO / "models" / name)
    return Model(name, *stored_model(spec, weights, "float32"), folder)


def sample_crop(spec: ModelSpec, size: int) -> NDArray[np.float32]:
    """The middle of the conformed sample scan, float32 [size, size, size] = [i, j, k]."""
    contrast = "T2w" if "T2w" in spec.modality else "T1w"
    scan = conform(read_scan(REPO / "static" / "public" / "sample" / f"sample_{contrast}.nii.gz"))
    image = normalize(scan.data, spec.input.normalization)
    start = [(n - size) // 2 for n in image.shape]
    i, j, k = (slice(s, s + size) for s in start)
    return np.ascontiguousarray(image[i, j, k], dtype=np.float32)
