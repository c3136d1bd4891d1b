"""The published models in the data folder: facts about each, and how it is imported.

`python -m export.published DATA_DIR OUT_DIR` imports the ones that the site offers.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.import_model import Answers, import_model
from export.importers.labels import read_labels
from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.spec import MinMax, Quantile, make_labels

_BRAINCHOP = {
    "source": "brainchop (github.com/neuroneural/brainchop)",
    "license": "MIT",
    "citation": "Masoud M, Hu F, Plis S. Brainchop: in-browser MRI volumetric segmentation and rendering. "
    "Journal of Open Source Software 2023;8(83):5098.",
}
_TISSUE = Answers(
    task="brain tissue",
    modality=("T1w",),
    labels=make_labels(["background", "white matter", "grey matter"]),
    normalization=MinMax(),
    orientation="LIA",
    provenance=_BRAINCHOP,
)
_MINDGRAB = Answers(
    name="MindGrab, brain mask",
    description="Brain mask for scans of any contrast.",
    task="brain mask",
    # It was trained on more contrasts; these are the ones that have a BIDS suffix.
    modality=("T1w", "T2w", "FLAIR", "PDw", "dwi", "bold"),
    labels=make_labels(["background", "brain mask"]),
    normalization=Quantile(low=0.02, high=0.98),
    orientation="LIA",
    provenance=_BRAINCHOP,
)


@dataclass(frozen=True)
class Published:
    """One published model: its folder under `models/`, and the answers that its files don't contain."""

    folder: str
    answers: Answers
    labels_file: str | None = None  # read in place of `answers.labels`
    needs_torch: bool = False
    offered: bool = True  # False: the same weights as another entry, in another format

    @property
    def id(self) -> str:
        return self.folder.replace("_", "-")


PUBLISHED: tuple[Published, ...] = (
    Published(
        "brainchop_t2_lesion",
        Answers(
            name="Stroke lesion, T2w (brainchop)",
            description="Chronic stroke lesion in T2-weighted scans; 11 channels.",
            task="stroke lesion",
            modality=("T2w",),
            activation="elu",
            dilations=(1, 2, 4, 8, 16, 8, 4, 2, 1),
            norm="none",
            normalization=MinMax(),
            orientation="LIA",
            provenance={"source": "niivue-tinygrad (github.com/niivue/niivue-tinygrad)", "license": "BSD-2-Clause"},
        ),
        labels_file="colormap_t2.json",
    ),
    Published(
        "arc_meshnet26",
        Answers(
            name="Stroke lesion, T2w (ARC MeshNet-26)",
            description="Chronic stroke lesion in T2-weighted scans; trained on ARC, fold 0.",
            task="stroke lesion",
            modality=("T2w",),
            activation="relu",
            dilations=(1, 2, 4, 8, 16, 16, 8, 4, 2),
            norm="batch",
            labels=make_labels(["background", "lesion"]),
            normalization=MinMax(),
            orientation="RAS",
            provenance={
                "source": "arc-meshchop, weights of fold 0, restart 0",
                "data": "ARC (OpenNeuro ds004884), fold 0",
                "license": "Apache-2.0",
            },
        ),
        needs_torch=True,
    ),
    Published(
        "brainchop_model5_gw_ae",
        replace(
            _TISSUE,
            name="Grey and white matter, light (brainchop)",
            description="Grey and white matter in T1-weighted scans; 5 channels.",
            labels=None,
        ),
        labels_file="colormap3.json",
    ),
    Published(
        "brainchop_model11_gw_ae",
        replace(
            _TISSUE,
            name="Grey and white matter (brainchop)",
            description="Grey and white matter in T1-weighted scans; 11 channels.",
        ),
    ),
    Published(
        "brainchop_mindgrab",
        replace(_MINDGRAB, labels=None),
    ),
    Published(
        "brainchop_model30chan18cls",
        replace(
            _TISSUE,
            name="Subcortical structures, 18 classes (brainchop)",
            description="White matter, cortex and subcortical structures in T1-weighted scans; 30 channels.",
            task="subcortical structures",
            labels=None,
        ),
    ),
    Published(
        "brainchop_model21_104class",
        replace(
            _TISSUE,
            name="Cortical and subcortical atlas, 104 classes (brainchop)",
            description="FreeSurfer's aparc+aseg regions in T1-weighted scans; 21 channels.",
            task="cortical and subcortical atlas",
            labels=None,
        ),
    ),
    Published("brainchop_pth_mindgrab", _MINDGRAB, needs_torch=True, offered=False),
    Published("brainchop_pth_model5_gw_ae", replace(_TISSUE, activation="relu"), offered=False),
)


def import_published(models: Path, out: Path, *, every: bool = False) -> list[str]:
    """Import the published models found under `models` into `out/<id>/`; returns their ids.

    A missing folder, or a folder that needs torch if torch is not installed, is skipped with a printed message. every:
    also import those that repeat the weights of another one. Raises SpecError if a folder can't be imported.
    """
    ids = []
    for published in PUBLISHED:
        source = models / published.folder
        if not (published.offered or every):
            continue
        if not source.is_dir():
            print(f"{published.id}: skipped, {source} is missing")
            continue
        if published.needs_torch and importlib.util.find_spec("torch") is None:
            print(f"{published.id}: skipped, it is a PyTorch file and torch is not installed (extra: export)")
            continue
        for note in import_one(published, models, out):
            print(f"{published.id}: note: {note}")
        ids.append(published.id)
    return ids


def import_one(published: Published, models: Path, out: Path) -> tuple[str, ...]:
    """Import `models/<folder>` into `out/<id>/`; returns notes for the user. Raises SpecError if that is impossible."""
    source = models / published.folder
    answers = replace(published.answers, id=published.id)
    if published.labels_file is not None:
        answers = replace(answers, labels=read_labels(source / published.labels_file))
    imported = import_model(source, answers)
    save_checkpoint(out / published.id, imported.spec, imported.weights)
    return tuple(imported.notes)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; imports every published model that the site offers."""
    parser = argparse.ArgumentParser(prog="python -m export.published", description=__doc__)
    parser.add_argument("data", type=Path, help="data folder, with the published models under models/")
    parser.add_argument("out", type=Path, help="folder for the model folders, one per model")
    arguments = parser.parse_args(argv)
    print("imported: " + ", ".join(import_published(arguments.data / "models", arguments.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
