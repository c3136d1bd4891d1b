"""The page's sidecar has the keys and values of `meshnet-predict`'s."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshnet.infer.sidecar import Engine, Settings, Sidecar, dump_sidecar, make_sidecar, source_file
from meshnet.model.spec import dump_spec
from meshnet.scan.notes import make_note
from tests.helpers.export_models import small_model
from tests.helpers.parity.prepared import Site


@pytest.mark.parametrize("files", [1, 2])
def test_both_write_the_same_json(files: int, site: Site, tmp_path: Path) -> None:
    spec, _ = small_model("relu")
    paths = [tmp_path / name for name in ("a.hdr", "a.img")[:files]]
    for path in paths:
        path.write_bytes(path.name.encode())
    volumes = [(label, 1000 + label.index, 1.23456789 * label.index) for label in spec.labels]
    notes = [make_note("nothing-found"), make_note("cut-off", 12.3, 256)]
    python = make_sidecar(
        spec,
        interface="command line",
        engine=Engine(backend="cpu", device="2 threads"),
        source=source_file("a.hdr", paths, frame=3),
        space="conformed",
        settings=Settings(threshold=0.3, flip=True, remove_below_ml=0.5, keep_outside_brain=True),
        volumes=volumes,
        notes=notes,
    )
    parts = {
        "version": python.software.version,
        "spec": json.loads(dump_spec(spec)),
        "engine": {"backend": "cpu", "device": "2 threads"},
        "source": {"name": "a.hdr", "frame": 3},
        "space": "conformed",
        "settings": {
            "threshold": 0.3,
            "flip": True,
            "remove_below_ml": 0.5,
            "keep_outside_brain": True,
            "all_labels": False,
        },
        "edits": [],
        "volumes": [{"index": label.index, "voxels": voxels, "volumeMl": ml} for label, voxels, ml in volumes],
        "notes": [{"code": note.code, "text": note.text} for note in notes],
    }
    (page,) = site([{"sidecar": parts, "created": python.created, "files": [str(path) for path in paths]}])
    Sidecar.model_validate_json(json.dumps(page))
    expected = json.loads(dump_sidecar(python))
    expected["software"]["interface"] = "page"
    assert page == expected
    assert list(page) == list(expected)
