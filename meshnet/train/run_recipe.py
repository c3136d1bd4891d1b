"""Trains a recipe: every phase in its run folder, then the model folder.

`runs/NAME/PHASE` is the run folder of a phase (`runs/NAME/PHASE/seedS` with several seeds), `runs/NAME/model` the
result. Finished runs are skipped and half-done ones resumed, so that the same command continues after an interruption.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.finish import finish_model
from meshnet.model.refine import refine_model
from meshnet.model.spec import Provenance, read_spec
from meshnet.train.config import TrainConfig
from meshnet.train.recipe import NOTHING, ComposedRecipe
from meshnet.train.run_folder import check_same_run, is_finished


def run_recipe(composed: ComposedRecipe, command: str) -> Path:
    """Train the runs of the recipe that are not finished, and write the model folder; returns that folder.

    command: for the provenance. Raises the errors of `meshnet.train.loop.train`; ConfigError where a folder holds a run
    with other settings, also where an earlier phase gave other weights than those that a later run started from.
    """
    results: dict[str, Path] = {}
    for number, (name, phase) in enumerate(composed.recipe.phases.items(), start=1):
        start = results.get(phase.start) or (None if phase.start == NOTHING else Path(phase.start))
        configs = [_with_start(config, start) for config in composed.configs[name]]
        left = [config for config in configs if not _is_done(config)]
        print(
            f"{composed.name}: phase {name} ({number} of {len(composed.configs)}), "
            f"{len(left)} of {len(configs)} runs left",
            file=sys.stderr,
        )
        _train_all(left, f"{command} (phase {name})", composed.jobs)
        results[name] = _result(composed, name, results)
    return _write_model(composed, results[name], command)


def _with_start(config: TrainConfig, start: Path | None) -> TrainConfig:
    """The settings with the model folder to start from, pinned by the SHA-256 of its weights file."""
    if start is None:
        return config
    pinned = replace(config.model, init_from=str(start), init_sha256=read_spec(start / "model.json").weights.sha256)
    return replace(config, model=pinned)


def _is_done(config: TrainConfig) -> bool:
    """Whether the run is finished. Raises ConfigError where it has other settings."""
    folder = Path(config.run)
    if not is_finished(folder):
        return False
    check_same_run(folder, config)
    return True


def _train_all(configs: Sequence[TrainConfig], command: str, jobs: int) -> None:
    """Train all runs, `jobs` of them at the same time; with several jobs, each in a separate process."""
    from meshnet.train.loop import train  # slow; a recipe that can't be run is refused before

    if jobs == 1 or len(configs) < 2:
        for config in configs:
            train(config, command=command)
        return
    with ProcessPoolExecutor(min(jobs, len(configs)), mp_context=get_context("spawn")) as pool:
        for _ in pool.map(partial(train, command=command), configs):
            pass


def _result(composed: ComposedRecipe, name: str, results: dict[str, Path]) -> Path:
    """The model folder of a finished phase: its runs averaged, thresholded and refined as the recipe says.

    results: model folders of the earlier phases.
    """
    phase, model_id, folder = composed.recipe.phases[name], composed.recipe.id, composed.folder / name
    own = phase.average.get(name, 1.0)
    shares = {results[other]: share for other, share in phase.average.items() if other != name}
    shares |= {Path(config.run) / "last": own / len(phase.seeds) for config in composed.configs[name]}
    result = Path(composed.configs[name][0].run) / "last"
    if len(shares) > 1 or phase.threshold != 0.5:
        result = folder / "finished"
        finish_model(shares, result, model_id, threshold=phase.threshold, layers_only=phase.layers_only)
    if phase.refine:
        coarse, result = result, folder / "refined"
        refine_model(coarse, result, model_id)
    return result


def _write_model(composed: ComposedRecipe, result: Path, command: str) -> Path:
    """Write the model folder of the recipe, with the provenance of all phases."""
    configs = [config for of_phase in composed.configs.values() for config in of_phase]
    runs = [read_spec(Path(config.run) / "last" / "model.json").provenance for config in configs]
    spec, weights = load_checkpoint(result)
    provenance = Provenance(
        source=f"trained in this project by the recipe {composed.name}",
        data=_in_one([about.data for about in runs]),
        command=command,
        commit=", ".join(dict.fromkeys(about.commit for about in runs)),
        license=spec.provenance.license,
        citation=spec.provenance.citation,
    )
    written = save_checkpoint(composed.out, spec.model_copy(update={"provenance": provenance}), weights)
    print(f"{composed.out}: model {written.id}, SHA-256 of its weights {written.weights.sha256}", file=sys.stderr)
    return composed.out


def _in_one(descriptions: Sequence[str]) -> str:
    """Descriptions of data as one: `7000 patches`, `3000 patches` to `7000, 3000 patches`."""
    counts: dict[str, list[str]] = {}
    for description in descriptions:
        count, _, what = description.partition(" ")
        counts.setdefault(what, []).append(count)
    return "; ".join(f"{', '.join(numbers)} {what}" for what, numbers in counts.items())
