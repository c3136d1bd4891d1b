"""The malformations that FORMAT.md lists, in its order (19 concerns the browser: static/src/engine)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from export.to_web import write_web
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.spec import SpecError
from tests.helpers.export_models import small_model
from tests.helpers.paths import REPO


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    spec, weights = small_model(norm={"kind": "batch"})
    write_web(tmp_path / "bundle", spec, weights)
    return tmp_path / "bundle"


def edit(path: str, value: object) -> Callable[[Path], None]:
    """Set one field of model.json, e.g. `input.orientation`."""

    def damage(bundle: Path) -> None:
        content = json.loads((bundle / "model.json").read_text())
        *parents, last = path.split(".")
        inner: Any = content
        for key in parents:
            inner = inner[int(key) if key.isdigit() else key]
        inner[last] = value
        (bundle / "model.json").write_text(json.dumps(content))

    return damage


def rewrite(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Change the tensors and correct the hash, so that only the change is wrong."""

    def damage(bundle: Path) -> None:
        tensors = load_file(bundle / "weights.safetensors")
        change(tensors)
        save_file(tensors, bundle / "weights.safetensors")
        edit("weights.sha256", hashlib.sha256((bundle / "weights.safetensors").read_bytes()).hexdigest())(bundle)

    return damage


def garbage(bundle: Path) -> None:
    (bundle / "weights.safetensors").write_bytes(b"garbage, not tensors")
    edit("weights.sha256", hashlib.sha256(b"garbage, not tensors").hexdigest())(bundle)


MALFORMATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "1 model.json missing": (lambda b: (b / "model.json").unlink(), "no such file"),
    "2 not JSON": (lambda b: (b / "model.json").write_text("{"), "not valid JSON"),
    "3 another format": (edit("format", "other"), 'expected "format": "meshnet-model", got \'other\''),
    "4 another version": (edit("version", 2), "format version 2, this software reads 1"),
    "5 an unknown field": (edit("architecture.channel", 4), "architecture.channel"),
    "6 a value out of range": (edit("architecture.dilations", [1, 0, 2]), "architecture.dilations.1"),
    "7 labels out of order": (edit("labels.0.index", 1), r"labels have indices \[1, 1, 2\]"),
    "8 an axis twice": (edit("input.orientation", "LRA"), "names an axis twice"),
    "9 quantiles swapped": (edit("input.normalization.low", 0.99), "must be below"),
    "10 a path in the file name": (edit("weights.file", "../weights.safetensors"), "weights.file"),
    "11 weights missing": (lambda b: (b / "weights.safetensors").unlink(), "missing, though model.json names it"),
    "12 another hash": (edit("weights.sha256", "0" * 64), "SHA-256"),
    "13 not safetensors": (garbage, "not a safetensors file"),
    "14 another dtype": (edit("weights.dtype", "float16"), "is float32, model.json says float16"),
    "15 a tensor missing": (rewrite(lambda t: t.pop("classifier.bias")), r"missing \['classifier.bias'\]"),
    "16 a tensor too many": (rewrite(lambda t: t.update(extra=t["classifier.bias"])), r"unexpected \['extra'\]"),
    "17 another shape": (
        rewrite(lambda t: t.update({"classifier.bias": np.zeros(2, np.float32)})),
        r"classifier.bias has shape \(2,\), model.json asks for \(3,\)",
    ),
    "18 not finite": (
        rewrite(lambda t: t["classifier.bias"].__setitem__(0, np.nan)),
        "classifier.bias has non-finite values",
    ),
}


@pytest.mark.parametrize("malformation", MALFORMATIONS)
def test_a_malformed_bundle_is_refused_by_name(bundle: Path, malformation: str) -> None:
    load_checkpoint(bundle)
    damage, says = MALFORMATIONS[malformation]
    damage(bundle)
    with pytest.raises(SpecError, match=says):
        load_checkpoint(bundle)


def test_every_malformation_of_the_page_has_a_test() -> None:
    page = (REPO / "export" / "FORMAT.md").read_text()
    listed = page.split("## A reader refuses")[1]
    numbers = [int(name.split()[0]) for name in MALFORMATIONS]
    assert numbers == list(range(1, 19))
    assert "19." in listed
    assert "20." not in listed
