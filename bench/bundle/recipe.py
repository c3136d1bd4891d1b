"""The training of a bundle: one phase of a recipe, started from the shipped model, as long as its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bench.deno import REPO
from meshnet.model.spec import read_spec

#: More steps than any machine does in the time; `trainer.stop_after_s` ends the run, and the schedule with it.
_STEPS = 100_000


def one_phase(path: Path, phase: str) -> str:
    """A recipe file (YAML) of one phase of the recipe in `path`, which starts from the shipped model of that recipe.

    The start is relative to the checkout. The model is refined to 1 mm; other phases and their averages are left out.
    """
    tree: Any = OmegaConf.to_container(OmegaConf.load(path))
    kept = tree["phases"][phase]
    for key in ("average", "layers_only", "threshold"):
        kept.pop(key, None)
    start = f"models/{tree['id']}"
    kept |= {"start": start, "sha256": read_spec(REPO / start / "model.json").weights.sha256, "refine": True}
    kept["data"]["stages"] = [{**stage, "steps": _STEPS} for stage in kept["data"]["stages"]]
    recipe = {
        "id": f"{tree['id']}-gpu",
        "groups": tree["groups"],
        "settings": tree["settings"],
        "phases": {phase: kept},
    }
    return OmegaConf.to_yaml(OmegaConf.create(recipe))
