"""`meshnet-train`: one training run, or a recipe of several. Starting the same command again resumes it.

meshnet-train model=meshnet26 data=FOLDER fold=0 restart=3     one run: the paper's training recipe on prepared data
meshnet-train recipe=t2-lesion data.lesions=FOLDER             all phases of a model of our own
meshnet-train recipe=t2-lesion init=models/t2-lesion data=FOLDER   a shipped model, fine-tuned on prepared data
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meshnet.cohort.bids import CohortError
from meshnet.model.spec import SpecError
from meshnet.train.config import ConfigError, TrainConfig, as_yaml, compose_config
from meshnet.train.recipe import compose_recipe, known_recipes
from meshnet.train.run_recipe import run_recipe

if TYPE_CHECKING:
    from meshnet.train.loop import Progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when everything is trained, 2 for settings that can't be run, 130 when interrupted."""
    parsed = _parser().parse_args(arguments)
    command = "meshnet-train " + " ".join(arguments if arguments is not None else sys.argv[1:])
    try:
        if parsed.print_config:
            print("---\n".join(as_yaml(config) for config in compose_all(parsed.overrides)), end="")
        elif _is_recipe(parsed.overrides):
            run_recipe(compose_recipe(parsed.overrides), command)
        else:
            config = compose_config(parsed.overrides)
            from meshnet.train.loop import train  # slow: refusals and --help do not wait for PyTorch's compiler

            print(_summary(config, train(config, command=command)))
    except (ConfigError, CohortError, SpecError, OSError, MemoryError, FloatingPointError) as error:
        print(f"meshnet-train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("meshnet-train: interrupted; the same command continues from the last saved step", file=sys.stderr)
        return 130
    return 0


def _summary(config: TrainConfig, progress: Progress) -> str:
    """The result of a run in one line."""
    score = "no validation" if progress.score is None else f"validation Dice {progress.score:.3f}"
    collapsed = f"; collapsed: {progress.collapsed}" if progress.collapsed else ""
    return f"{config.run}: {progress.step} steps, {score}{collapsed}; model in {Path(config.run) / 'last'}"


def compose_all(overrides: Sequence[str]) -> list[TrainConfig]:
    """The settings of every run that the command line means: one, or those of a recipe. Raises ConfigError."""
    if not _is_recipe(overrides):
        return [compose_config(overrides)]
    return [config for configs in compose_recipe(overrides).configs.values() for config in configs]


def _is_recipe(overrides: Sequence[str]) -> bool:
    return any(override.startswith("recipe=") for override in overrides)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-train",
        description="Train one model, or all phases of a recipe. Starting the same command again resumes it.",
        epilog="Groups: model=meshnet5|meshnet16|meshnet26|small|<baseline>, "
        "data=FOLDER|synth_tissue|synth_lesion|synth_heads, "
        "optimizer=adamw|muon, trainer=default|cpu. "
        "Single values: optimizer.lr=2e-3, trainer.epochs=10 (epochs), trainer.save_every_s=60 (seconds). "
        "@FILE takes overrides from a file of meshnet-tune. "
        f"Recipes: recipe={'|'.join(known_recipes())} or recipe=FILE.yaml, with run=FOLDER (default: runs/NAME), "
        "init=MODEL_DIR data=FOLDER (fine-tunes that model on prepared cases), "
        "out=FOLDER for the model (default: runs/NAME/model), jobs=N (runs of a phase at the same time) and "
        "phases.PHASE.KEY=VALUE for a key of one phase.",
    )
    parser.add_argument("overrides", nargs="*", help="overrides, KEY=VALUE")
    parser.add_argument("--print-config", action="store_true", help="print the resolved settings and stop")
    return parser
