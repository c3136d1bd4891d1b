"""Write a model in one format into a new folder and verify the files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import onnx

from export.runners import run_onnx, run_tfjs, run_web
from export.to_tfjs import write_tfjs
from export.to_web import write_web
from export.verify import Run, difference, reference_logits, verification_inputs, verify
from meshnet.model.checkpoint import Weights
from meshnet.model.graph import stored_model
from meshnet.model.onnx import to_onnx
from meshnet.model.spec import ModelSpec

Format = Literal["onnx", "tfjs", "web"]
FORMATS: tuple[Format, ...] = get_args(Format)
Dtype = Literal["float32", "float16"]


def export_model(
    folder: Path, spec: ModelSpec, weights: Weights, kind: Format, *, dtype: Dtype = "float32", logits: bool = False
) -> list[str]:
    """Write the model as `kind` into `folder`, which is created, and verify it; returns lines for the user.

    dtype: of the weights stored in ONNX files and web bundles; TF.js folders hold float32. logits: adds the logits to
    the outputs of the ONNX file.

    Raises SpecError if the format can't express the model, VerificationError if the files don't compute what PyTorch
    computes. `folder` may then contain files, which the caller removes.
    """
    folder.mkdir(parents=True)
    remarks: list[str] = []
    stored_dtype: Dtype = "float32" if kind == "tfjs" else dtype
    run: Run
    match kind:
        case "onnx":
            model = to_onnx(spec, weights, logits=logits, dtype=dtype)
            path = folder / f"{spec.id}.onnx"
            onnx.save(model, path)
            run = run_onnx(path, model if logits else to_onnx(spec, weights, logits=True, dtype=dtype))
        case "tfjs":
            remarks = write_tfjs(folder, spec, weights)
            if dtype != stored_dtype:
                remarks.append(f"TF.js folders hold float32; {dtype} applies to ONNX and web")
            run = run_tfjs(folder, spec, weights)
        case "web":
            write_web(folder, spec, weights, dtype=dtype)
            run = run_web(folder)

    label = f"{kind} {stored_dtype}"
    reference = (spec, weights) if stored_dtype == "float32" else stored_model(spec, weights, stored_dtype)
    lines = [f"{label}: {result}" for result in verify(f"{spec.id} as {label}", *reference, run)]
    if stored_dtype == "float16":
        image = verification_inputs(spec.architecture)["random"]
        labels, found = run(image)
        unrounded = difference("random", reference_logits(spec, weights, image), found, labels)
        lines.append(f"{label} against float32 weights: {unrounded}")
    return lines + [f"{kind}: {remark}" for remark in remarks]
