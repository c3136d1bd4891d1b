"""A recipe: the phases that make one model, as data in one file.

    meshnet/conf/recipe/NAME.yaml:
      id: t2-lesion                                  id of the model
      groups: {model: small, data: synth_lesion}     Hydra groups that all phases share
      settings: {license: MIT, loss: {dice: 1.0}}    settings that all phases share, over the groups
      phases:                                        in this order
        coarse: {start: nothing, data: {stages: […]}}
        heads:  {start: coarse, seeds: [7, 8], optimizer: {lr: 0.002}, refine: true}
      fine_tune: {data: {synthetic_share: 0.5}}      the phase that `init=MODEL data=FOLDER` trains instead of these

`compose_recipe` reads and checks a recipe; `meshnet.train.run_recipe` trains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from yaml import YAMLError  # type: ignore[import-untyped]

from meshnet.model.spec import read_spec
from meshnet.train.config import ConfigError, TrainConfig, check_values, compose_groups, config_errors, expand, resolve
from meshnet.train.networks import read_start

NOTHING = "nothing"
_FOLDER = Path(__file__).parents[1] / "conf" / "recipe"

_GROUPS = ("model", "data", "optimizer", "schedule", "trainer")
_SECTIONS = (*_GROUPS, "loss")
_SETTINGS = (*_SECTIONS, "name", "description", "license", "fold", "restart")
#: Settings that a recipe sets itself, and where it takes them from.
_SET_BY_THE_RECIPE = {
    "seed": "phases.NAME.seeds",
    "id": "id in the recipe file",
    "model.init_from": "phases.NAME.start",
    "model.init_sha256": "phases.NAME.sha256",
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Phase(_Strict):
    """One training run per seed, and the steps that make one model of their weights.

    start: `nothing`, the name of an earlier phase, or a model folder whose weights file has SHA-256 `sha256`.
    seeds: the weights of several runs are averaged with equal shares. average: shares by name of a phase, this one
    included, that add up to 1; empty for this phase only. layers_only: only layers are averaged, and the classifier is
    that of this phase, where the others have other labels. threshold: as of meshnet-finish; 0.5 is the plain argmax.
    refine: carry the network over to voxels half the size, as meshnet-refine does. The other keys are settings over
    those that all phases share.
    """

    start: str = Field(min_length=1)
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    average: dict[str, float] = {}
    layers_only: bool = False
    threshold: float = Field(default=0.5, gt=0, lt=1)
    refine: bool = False
    model: dict[str, Any] = {}
    data: dict[str, Any] = {}
    optimizer: dict[str, Any] = {}
    schedule: dict[str, Any] = {}
    loss: dict[str, Any] = {}
    trainer: dict[str, Any] = {}

    def settings(self) -> dict[str, Any]:
        """The settings of this phase by section."""
        return {section: getattr(self, section) for section in _SECTIONS}


class Recipe(_Strict):
    """How one model is made; see the module's docstring."""

    id: str = Field(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")
    groups: dict[str, str] = {}
    settings: dict[str, Any] = {}
    phases: dict[Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]*$")], Phase] = Field(min_length=1)
    fine_tune: dict[str, Any] = {}


@dataclass(frozen=True)
class ComposedRecipe:
    """A checked recipe with the settings of every run.

    folder: of the phases' runs. out: folder for the model. jobs: runs of one phase at the same time. configs: by phase,
    one per seed, without the start, which is known when the earlier phases are finished.
    """

    name: str
    recipe: Recipe
    folder: Path
    out: Path
    jobs: int
    configs: dict[str, list[TrainConfig]]


def known_recipes() -> list[str]:
    """Names of the recipes in meshnet/conf/recipe."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def compose_recipe(overrides: Sequence[str]) -> ComposedRecipe:
    """A recipe from the overrides of the command line.

    `recipe=NAME`, or `recipe=FILE.yaml` for a file that is not in meshnet/conf/recipe. `run=FOLDER` (default
    runs/NAME), `out=FOLDER` (default runs/NAME/model) and `jobs=N` set the fields of `ComposedRecipe`.
    `phases.PHASE.KEY=VALUE` overrides a key of one phase; `id=ID` the id of the model; every other setting or group
    holds for all phases. `init=MODEL_DIR data=FOLDER` fine-tunes a model on a folder of meshnet-prepare: one phase, the
    recipe's `fine_tune`. Raises ConfigError, and SpecError for a start that is no model folder.
    """
    given = dict(_key_and_value(part) for override in overrides for part in expand(override))
    name, where, tree = _read(given.pop("recipe"))
    if "init" in given:
        name, tree, given = _fine_tuning(where, name, tree, given)
    run = Path(given.pop("run", f"runs/{name}"))
    out = Path(given.pop("out", run / "model"))
    jobs = given.pop("jobs", "1")
    if not jobs.isdigit() or int(jobs) < 1:
        raise ConfigError(f"jobs: expected the number of runs at the same time, 1 or more, got {jobs!r}")
    if "id" in given:
        tree["id"] = given.pop("id")
    of_phases = {key: value for key, value in given.items() if key.startswith("phases.")}
    recipe = _checked(where, _with_overrides(where, tree, of_phases))
    groups = recipe.groups | {key: given.pop(key) for key in _GROUPS if key in given}
    shared = {key: value for key, value in given.items() if key not in of_phases}
    composed_groups = compose_groups([f"{group}={choice}" for group, choice in groups.items()])
    OmegaConf.set_struct(composed_groups, False)  # for new keys of data.contrasts; `resolve` checks the others
    configs = {}
    for phase in recipe.phases:
        prefix = f"phases.{phase}."
        own = {key.removeprefix(prefix): value for key, value in of_phases.items() if key.startswith(prefix)}
        own = {key: value for key, value in own.items() if key.split(".")[0] in _SECTIONS}
        configs[phase] = _configs(recipe, phase, composed_groups, shared | own, run)
    composed = ComposedRecipe(name, recipe, run, out, int(jobs), configs)
    _check_pinned_starts(composed)
    return composed


def _key_and_value(override: str) -> tuple[str, str]:
    key, equals, value = override.partition("=")
    if not equals or not key or key[0] in "+~":
        raise ConfigError(f"{override}: expected KEY=VALUE with a recipe, for example trainer.threads=1")
    return key, value.strip("'\"") if key in ("recipe", "run", "out", "jobs", "id", "init") else value


def _fine_tuning(
    where: str, name: str, tree: dict[str, Any], given: dict[str, str]
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Name, recipe and overrides of fine-tuning: one phase that starts from the model folder `init`, whose layers and
    labels it keeps, and trains on the prepared folder `data`. Raises ConfigError, and SpecError for no model folder."""
    init = Path(given["init"])
    if not tree.get("fine_tune"):
        raise ConfigError(f"init={init}: {where} has no fine_tune; choose another recipe, or leave init out")
    if given.get("data") != "prepared":
        raise ConfigError(f"init={init}: fine-tuning needs cases; pass data=FOLDER, written by meshnet-prepare")
    spec = read_spec(init / "model.json")
    a = spec.architecture
    model = {"channels": a.channels, "dilations": list(a.dilations), "activation": a.activation, "norm": a.norm.kind}
    phase = OmegaConf.merge(
        {"model": model, "data": {"labels": [label.name for label in spec.labels]}}, tree["fine_tune"]
    )
    start = {"start": str(init), "sha256": spec.weights.sha256}
    phases = {"fine-tune": OmegaConf.to_container(phase) | start}  # type: ignore[operator]
    left = {key: value for key, value in given.items() if key not in ("init", "data")} | {"data.source": "prepared"}
    return f"{name}-fine-tuned", tree | {"id": f"{spec.id}-fine-tuned", "phases": phases}, left


def _read(given: str) -> tuple[str, str, dict[str, Any]]:
    """Name, path and content of a recipe file."""
    if given.endswith(".yaml"):
        name, where, file = Path(given).stem, given, Path(given)
    else:
        name, where = given, f"meshnet/conf/recipe/{given}.yaml"
        if given not in known_recipes():
            raise ConfigError(
                f"recipe={given}: unknown; known are {', '.join(known_recipes())}, or pass the path of a .yaml file"
            )
        file = _FOLDER / f"{given}.yaml"
    try:
        tree = OmegaConf.to_container(OmegaConf.create(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{where}: cannot read the recipe ({error.strerror})") from error
    except YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML ({' '.join(str(error).split())}); expected a recipe") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{where}: expected a mapping with id and phases, got {type(tree).__name__}")
    return name, where, {str(key): value for key, value in tree.items()}


def _with_overrides(where: str, tree: dict[str, Any], of_phases: dict[str, str]) -> dict[str, Any]:
    """The recipe with `phases.PHASE.KEY=VALUE` applied."""
    phases = tree.get("phases")
    known = list(phases) if isinstance(phases, dict) else []
    for key in of_phases:
        parts = key.split(".")
        if len(parts) < 3 or parts[1] not in known:
            raise ConfigError(f"{key}: expected phases.PHASE.KEY with one of the phases {', '.join(known)} of {where}")
        if key.removeprefix(f"phases.{parts[1]}.") in _SET_BY_THE_RECIPE:
            raise ConfigError(f"{key}: the recipe sets this itself; see its start, sha256 and seeds")
    with config_errors(where):
        merged = OmegaConf.to_container(OmegaConf.merge(OmegaConf.create(tree), _dotted(of_phases)))
    assert isinstance(merged, dict)
    return {str(key): value for key, value in merged.items()}


def _dotted(given: dict[str, str]) -> DictConfig:
    """`a.b=1` to `{a: {b: 1}}`."""
    return OmegaConf.from_dotlist([f"{key}={value}" for key, value in given.items()])


def _checked(where: str, tree: dict[str, Any]) -> Recipe:
    """The tree as a Recipe. Raises ConfigError that names file, key and value."""
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {str(e['input'])[:80]!r}" for e in error.errors()]
        raise ConfigError(f"{where}: {'; '.join(lines)}") from error
    unknown = sorted(set(recipe.groups) - set(_GROUPS))
    if unknown:
        raise ConfigError(f"{where}: groups: expected some of {', '.join(_GROUPS)}, got {unknown[0]!r}")
    earlier: list[str] = []
    for name, phase in recipe.phases.items():
        _check_phase(f"{where}: phases.{name}", name, phase, earlier)
        earlier.append(name)
    return recipe


def _check_phase(where: str, name: str, phase: Phase, earlier: Sequence[str]) -> None:
    if name == "model":
        raise ConfigError(f"{where}: expected another name: the folder `model` is for the result")
    if not phase.sha256 and phase.start not in (NOTHING, *earlier):
        raise ConfigError(
            f"{where}.start: expected {NOTHING!r}, an earlier phase ({', '.join(earlier) or 'none here'}), or a model "
            f"folder together with the sha256 of its weights file, got {phase.start!r}"
        )
    if len(set(phase.seeds)) < len(phase.seeds):
        raise ConfigError(f"{where}.seeds: expected different seeds, got {list(phase.seeds)}")
    if phase.average:
        unknown = [other for other in phase.average if other not in (*earlier, name)]
        if unknown or name not in phase.average:
            raise ConfigError(
                f"{where}.average: expected shares of {name} and earlier phases ({', '.join(earlier) or 'none here'}), "
                f"got {dict(phase.average)}"
            )
        total = sum(phase.average.values())
        if abs(total - 1) > 1e-6:
            raise ConfigError(f"{where}.average: expected shares that add up to 1, got {total:g}")


def _configs(recipe: Recipe, name: str, groups: DictConfig, given: dict[str, str], run: Path) -> list[TrainConfig]:
    """The settings of each run of a phase: groups, then those of all phases, of the phase, of the command line.

    given: of the command line, for all phases and then for this one.
    """
    phase = recipe.phases[name]
    for key in [*given, *_keys(recipe.settings), *_keys(phase.settings())]:
        if key in _SET_BY_THE_RECIPE:
            raise ConfigError(f"{key}: the recipe sets this itself; see {_SET_BY_THE_RECIPE[key]}")
        if key.split(".")[0] not in _SETTINGS:
            raise ConfigError(
                f"{key}: expected a setting of {', '.join(_SETTINGS)}, or recipe, init, run, out, jobs, id"
            )
    with config_errors(f"phases.{name}"):
        merged = OmegaConf.merge(groups, recipe.settings, phase.settings(), _dotted(given))
        configs = []
        for seed in phase.seeds:
            folder = run / name if len(phase.seeds) == 1 else run / name / f"seed{seed}"
            own = {"id": recipe.id, "run": str(folder), "seed": seed}
            configs.append(resolve(OmegaConf.merge(merged, own)))  # type: ignore[arg-type]
            check_values(configs[-1])
    if configs[0].model.kind != "meshnet" or configs[0].trainer.devices != 1 or configs[0].trainer.nodes != 1:
        raise ConfigError(f"phases.{name}: a recipe trains a MeshNet on one device; train others with meshnet-train")
    return configs


def _keys(tree: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys of the leaves."""
    keys: list[str] = []
    for key, value in tree.items():
        keys += _keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return keys


def _check_pinned_starts(composed: ComposedRecipe) -> None:
    """Raise ConfigError for a start with another SHA-256, or one that is the result of this recipe."""
    for name, phase in composed.recipe.phases.items():
        if not phase.sha256:
            continue
        folder = Path(phase.start)
        spec = read_spec(folder / "model.json")
        inside = composed.folder.resolve() in folder.resolve().parents
        if spec.id == composed.recipe.id or inside or folder.resolve() == composed.out.resolve():
            raise ConfigError(
                f"phases.{name}.start: {folder} holds a model with id {spec.id!r}, a result of this recipe "
                f"({composed.recipe.id!r}); expected {NOTHING!r}, an earlier phase, or a model of another origin"
            )
        read_start(folder, phase.sha256)
