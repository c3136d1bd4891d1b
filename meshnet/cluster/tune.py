"""`meshnet-tune --data FOLDER -o OUT`: the paper's hyper-parameter search, with Ray Tune and ASHA.

Every trial trains one configuration on the inner folds of the first outer fold (`fold=0`; its test cases are not read)
up to the next rung of epochs and reports the mean validation Dice; ASHA then stops or continues it. OUT holds
`best.txt` (overrides for `meshnet-train @OUT/best.txt`), `trials.csv`, `trials/` (one training run per trial and inner
fold) and `ray/` (files of Ray). The same command resumes a search.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from meshnet.cluster.on_ray import Share, add_ray_options, check_address, start_ray
from meshnet.cluster.search import (
    SEARCHED,
    Search,
    Trial,
    check_same_search,
    check_search,
    drawn_overrides,
    ranked,
    run_overrides,
    write_best,
    write_trials,
)
from meshnet.cohort.arguments import at_least, given_twice, out_folder
from meshnet.cohort.bids import CohortError
from meshnet.train.config import ConfigError, compose_config

#: Restarts of a trial after a lost worker.
_RETRIES = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when every trial is done, 1 where some failed, 2 where the search cannot be run."""
    args = _parser().parse_args(arguments)
    try:
        search = Search(
            data=args.data.resolve(),
            out=args.out.resolve(),
            fixed=tuple(args.overrides),
            trials=args.trials,
            min_epochs=args.min_epochs,
            max_epochs=args.max_epochs,
            reduction=args.reduction_factor,
            inner_folds=_folds(args.inner_folds),
            seed=args.seed,
        )
        check_search(search)
        check_address(args.ray_address)
        check_same_search(search)
        with start_ray(args) as share:
            trials = run_search(search, share, args.concurrent)
    except (ConfigError, CohortError, OSError) as error:
        print(f"meshnet-tune: {error}", file=sys.stderr)
        return 2
    return _finish(search, trials)


def run_search(search: Search, share: Share, concurrent: int) -> list[Trial]:
    """Start or resume all trials on the connected Ray; returns them, the best first."""
    from ray import tune

    def trial(drawn: dict[str, Any]) -> None:
        run_trial(search, tune.get_context().get_trial_id(), drawn, share.cpus)

    trainable = tune.with_resources(trial, {"cpu": share.cpus, "gpu": share.gpus})
    record = search.out / "ray"
    if tune.Tuner.can_restore(str(record)):
        print(f"{search.out}: resuming", file=sys.stderr)
        tuner = tune.Tuner.restore(str(record), trainable, restart_errored=True)
    else:
        tuner = _new_tuner(search, trainable, concurrent)
    results = tuner.fit()
    return ranked([_trial(results[index]) for index in range(len(results))])


def run_trial(search: Search, trial: str, drawn: Mapping[str, Any], threads: int) -> None:
    """One trial, in a Ray worker: train to each rung on every inner fold, and report the mean of the scores.

    Runs of a lost worker continue from their last saved step.
    """
    from ray import tune

    from meshnet.train.loop import train  # slow, and only the workers train

    for epochs in search.rungs():
        scores: dict[str, float] = {}
        for inner in search.inner_folds:
            config = compose_config([*run_overrides(search, trial, drawn, inner), f"trainer.threads={threads}"])
            try:
                progress = train(config, command=f"meshnet-tune, trial {trial}", until_epoch=epochs)
                scores[f"dice_{inner}"] = progress.score or 0.0
            except FloatingPointError:  # diverged: scored 0, so that ASHA stops the trial
                scores[f"dice_{inner}"] = 0.0
        tune.report({"epochs": epochs, "dice": sum(scores.values()) / len(scores), **scores})


def space(search: Search) -> dict[str, Any]:
    """The paper's search space, without the keys that an override fixes."""
    from ray import tune

    paper = {
        "model.channels": tune.randint(5, 22),  # 5 to 21
        "optimizer.lr": tune.loguniform(1e-4, 4e-2),
        "optimizer.weight_decay": tune.loguniform(1e-4, 4e-2),
        "loss.class_weights": tune.uniform(0.0, 1.0),
        "schedule.warmup": tune.choice([0.02, 0.1, 0.2]),
    }
    return {key: paper[key] for key in search.free()}


def _new_tuner(search: Search, trainable: Any, concurrent: int) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import BasicVariantGenerator

    return tune.Tuner(
        trainable,
        param_space=space(search),
        tune_config=tune.TuneConfig(
            metric="dice",
            mode="max",
            num_samples=search.trials,
            reuse_actors=True,  # a new process for each trial would need seconds for imports
            search_alg=BasicVariantGenerator(max_concurrent=concurrent, random_state=search.seed),
            scheduler=ASHAScheduler(
                time_attr="epochs",
                max_t=search.max_epochs,
                grace_period=search.min_epochs,
                reduction_factor=search.reduction,
            ),
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(search.out),
            verbose=1,
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
        ),
    )


def _trial(result: Any) -> Trial:
    """A Trial from a result of Ray."""
    metrics = result.metrics or {}
    lines = [line.strip() for line in str(result.error or "").splitlines() if line.strip()]
    return Trial(
        id=str(metrics.get("trial_id", Path(result.path).name)),
        epochs=int(metrics.get("epochs", 0)),
        dice=float(metrics.get("dice", 0.0)),
        failure=lines[-1] if lines else "",
        overrides=drawn_overrides(result.config or {}),
    )


def _finish(search: Search, trials: Sequence[Trial]) -> int:
    """Write `trials.csv` and `best.txt` and print a summary; returns the exit code."""
    write_trials(search.out / "trials.csv", trials)
    failed = [t for t in trials if t.failure]
    for t in failed:
        print(f"meshnet-tune: trial {t.id} failed: {t.failure}", file=sys.stderr)
    if len(failed) == len(trials):
        print("meshnet-tune: every trial failed; the same command tries them again", file=sys.stderr)
        return 1
    best = trials[0]
    write_best(search.out / "best.txt", search, best)
    print(f"{search.out / 'best.txt'}: Dice {best.dice:.4f} after {best.epochs} epochs, best of {len(trials)} trials")
    return 1 if failed else 0


def _folds(text: str) -> tuple[int, ...]:
    try:
        folds = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--inner-folds: expected numbers joined by commas, got {text!r}") from error
    if given_twice(folds) is not None:
        raise ConfigError(f"--inner-folds: expected each fold once, got {text}")
    return folds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meshnet-tune",
        description="Search hyper-parameters on the inner folds of the first outer fold (fold=0). "
        "Starting the same command again resumes a search.",
        epilog=f"Searched: {', '.join(SEARCHED)}. An override that names one of them fixes it: with model.channels=5 "
        "the rest is searched for MeshNet-5.",
    )
    parser.add_argument("overrides", nargs="*", help="Hydra overrides that every trial shares, as for meshnet-train")
    parser.add_argument("--data", type=Path, required=True, help="folder of meshnet-prepare")
    parser.add_argument(
        "-o", "--out", type=out_folder, required=True, help="folder for best.txt, trials.csv and the runs"
    )
    parser.add_argument("--trials", type=at_least(1), default=50, help="configurations to draw (default %(default)s)")
    parser.add_argument(
        "--min-epochs", type=at_least(1), default=15, help="epochs at the first rung (default %(default)s)"
    )
    parser.add_argument("--max-epochs", type=at_least(1), default=50, help="epochs of a full run (default %(default)s)")
    parser.add_argument(
        "--reduction-factor",
        type=at_least(2),
        default=2,
        help="at each rung one trial in N continues, to N times the epochs (default %(default)s)",
    )
    parser.add_argument("--inner-folds", default="0,1,2", help="inner folds a trial is scored on (default %(default)s)")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the drawn configurations (default %(default)s)")
    parser.add_argument("--concurrent", type=at_least(1), default=0, help="trials at once (default: as many as fit)")
    add_ray_options(parser, "trial")
    return parser
