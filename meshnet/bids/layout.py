"""Names of a BIDS data set: the scans of a raw one, the results of a derived one, and the files at its root."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshnet.model.spec import ModelSpec
from meshnet.scan.scan_stream import ScanError
from meshnet.version import __version__

BIDS_VERSION = "1.10.0"

#: Suffixes that a model without a modality is run on.
ANATOMICAL = ("T1w", "T2w", "FLAIR", "PDw", "T2starw")

#: Files that BIDS has no name for; the validator reads this list.
BIDSIGNORE = ("*.html", "figures", "group_*.tsv", "group_*.json")

_README = """# Segmentations by MeshNet

`sub-*/**/anat/*_dseg.nii.gz`: labels (their names in the `.tsv` beside it). `*_label-lesion_mask.nii.gz`: lesions.
The `.json` beside each says how it was made and has the volumes in mL. `sub-*.html` and `group.html` have pictures for
quality control and link to a report on each scan; `group_volumes.tsv` has one row per scan. For research, not for
diagnosis.
"""


@dataclass(frozen=True)
class Job:
    """One scan of a raw data set and the stem of its results."""

    image: Path
    uri: str  #: BIDS URI of the image
    subject: str  #: without "sub-"
    session: str  #: without "ses-"; empty for none
    folder: Path  #: of the results
    stem: str  #: entities of the image, without its suffix
    desc: str  #: `_desc-<suffix>` for a model of several contrasts, else empty

    @property
    def labels(self) -> Path:
        return self.folder / f"{self.stem}{self.desc}_dseg.nii.gz"

    @property
    def mask(self) -> Path:
        return self.folder / f"{self.stem}_label-lesion{self.desc}_mask.nii.gz"

    @property
    def mosaic(self) -> Path:
        return self._figure("mosaic.png")

    @property
    def report(self) -> Path:
        return self._figure("report.html")

    def _figure(self, ending: str) -> Path:
        return self.folder.parents[1 if self.session else 0] / "figures" / f"{self.stem}{self.desc}_{ending}"


def suffixes_of(spec: ModelSpec) -> tuple[str, ...]:
    """The BIDS suffixes that a model is run on."""
    return spec.modality or ANATOMICAL


def find_jobs(
    root: Path, out: Path, spec: ModelSpec, *, subjects: Collection[str] = (), sessions: Collection[str] = ()
) -> list[Job]:
    """The scans of a raw BIDS data set that suit the model, sorted by path.

    subjects, sessions: labels to take, with or without "sub-" and "ses-"; empty: all. Phase images are left out. Raises
    ScanError if `root` has no subject, a label is unknown, or no scan suits.
    """
    folders = {path.name.removeprefix("sub-"): path for path in sorted(root.glob("sub-*")) if path.is_dir()}
    if not folders:
        raise ScanError(f"{root}: no sub-* folder; expected a BIDS data set")
    wanted = {label.removeprefix("sub-") for label in subjects} or folders.keys()
    if unknown := sorted(wanted - folders.keys()):
        raise ScanError(f"{root}: no sub-{unknown[0]}; --participant-label takes labels of this data set")
    only = {label.removeprefix("ses-") for label in sessions}
    jobs = [
        job
        for subject in sorted(wanted)
        for job in _jobs_of(root, out, folders[subject], suffixes_of(spec))
        if not only or job.session in only
    ]
    if not jobs:
        kinds = ", ".join(f"*_{suffix}.nii.gz" for suffix in suffixes_of(spec))
        raise ScanError(f"{root}: no scan for {spec.id}; expected sub-*/[ses-*/]anat/{kinds}")
    return jobs


def write_dataset_files(out: Path, raw: Path, spec: ModelSpec) -> None:
    """Write dataset_description.json, README.md and .bidsignore of the derived data set.

    Raises ScanError if `out` holds results of another model or another data set's description.
    """
    path = out / "dataset_description.json"
    description: dict[str, Any] = {
        "Name": f"MeshNet segmentations, model {spec.id}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": "MeshNet", "Version": __version__, "Description": f"model {spec.id} ({spec.weights.sha256})"}
        ],
        "DatasetLinks": {"raw": Path(os.path.relpath(raw, out)).as_posix()},
    }
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            name = before["Name"]
        except (ValueError, KeyError, TypeError) as error:
            raise ScanError(f"{path}: is not a description that MeshNet wrote; choose another OUT_DIR") from error
        if name != description["Name"]:
            raise ScanError(f"{out}: holds {name!r}; give each model its own OUT_DIR")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    (out / ".bidsignore").write_text("\n".join(BIDSIGNORE) + "\n", encoding="utf-8")
    readme = out / "README.md"
    if not readme.exists():
        readme.write_text(_README, encoding="utf-8")


def dseg_table(spec: ModelSpec) -> str:
    """The text of the .tsv beside a _dseg: index, name and colour of each label, and FreeSurfer's number where the
    model has them."""
    rows = [[str(one.index), one.name, "#" + bytes(one.color).hex()] for one in spec.labels]
    header = ["index", "name", "color"]
    if any(one.freesurfer_id is not None for one in spec.labels):
        header.append("freesurfer_id")
        for row, one in zip(rows, spec.labels, strict=True):
            row.append("n/a" if one.freesurfer_id is None else str(one.freesurfer_id))  # BIDS: n/a is a missing value
    return "".join("\t".join(row) + "\n" for row in [header, *rows])


def _jobs_of(root: Path, out: Path, folder: Path, suffixes: Sequence[str]) -> Iterator[Job]:
    """The jobs of one subject's folder."""
    places = [folder, *sorted(path for path in folder.glob("ses-*") if path.is_dir())]
    for place in places:
        for image in sorted((place / "anat").glob("sub-*")):
            match = re.fullmatch(r"(sub-.+)_([A-Za-z0-9]+)\.nii(?:\.gz)?", image.name)
            if match is None or match[2] not in suffixes or "_part-phase" in image.name:
                continue
            relative = image.relative_to(root)
            yield Job(
                image=image,
                uri=f"bids:raw:{relative.as_posix()}",
                subject=folder.name.removeprefix("sub-"),
                session=place.name.removeprefix("ses-") if place != folder else "",
                folder=out / relative.parent,
                stem=match[1],
                desc=f"_desc-{match[2]}" if len(suffixes) > 1 else "",
            )
