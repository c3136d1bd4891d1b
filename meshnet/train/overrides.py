"""Overrides of the command line, checked one by one: an unknown key or a value of another type is an error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from meshnet.train.settings import ConfigError, Stage, TrainConfig

#: Groups of files in meshnet/conf; `model=meshnet26` chooses one.
_GROUPS = ("model", "data", "optimizer", "schedule", "trainer")

_CONF = Path(__file__).parents[1] / "conf"

#: A setting whose keys are free: weights by contrast (sources.py checks the names).
_FREE = "data.contrasts."

#: Names of types in messages.
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_LIST_NAMES = {
    int: "a list of whole numbers such as [1,2]",
    float: "a list of numbers such as [1,2]",
    str: "a list of texts such as [a,b]",
    Stage: "a list of stages such as [{steps:1000,size:[96,96,96],voxel_size_mm:[1.0,1.0]}]",
}


def checked_override(override: str) -> str:
    """The override without Hydra's `+`. Raises ConfigError for a key that no setting has, or a value of another type.

    Hydra itself would accept `+foo.bar=1` and ignore it.
    """
    key = override.lstrip("+~").partition("=")[0]
    if key.startswith(_FREE):
        return _checked_weight(override, key)
    if key in _GROUPS:
        return _checked_choice(override, key)
    known = _types()
    if not key:
        raise ConfigError(f"{override}: expected KEY=VALUE; meshnet-train --print-config prints all keys")
    if key not in known:
        raise ConfigError(
            f"{override}: no setting is named {key}{_nearest_key(key, list(known))}; meshnet-train --print-config "
            f"prints all of them"
        )
    if override.startswith("~"):
        raise ConfigError(f"{override}: a setting can't be removed; expected {key}=VALUE")
    if "=" not in override:
        raise ConfigError(f"{override}: expected {key}=VALUE")
    bare = override.lstrip("+")
    try:
        value = OverridesParser.create().parse_override(bare).value()
    except HydraException as error:
        raise ConfigError(
            f"{override}: cannot be read; expected {_name_of(known[key])}; put text with special characters in quotes, "
            f"{key}=\"'...'\""
        ) from error
    try:
        OmegaConf.update(OmegaConf.structured(TrainConfig), key, value)
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        raise ConfigError(f"{override}: expected {_name_of(known[key])}, got {value!r}") from error
    return bare


def _checked_weight(override: str, key: str) -> str:
    """The override of a weight by contrast, which is added where the settings don't have it yet."""
    value = override.partition("=")[2]
    if override.startswith("~"):
        return override
    try:
        float(value)
    except ValueError as error:
        raise ConfigError(f"{override}: expected a number, got {value!r}") from error
    return f"++{key}={value}"


def _checked_choice(override: str, group: str) -> str:
    """The override of a group, if meshnet/conf has that choice."""
    choice = override.partition("=")[2]
    known = sorted(path.stem for path in (_CONF / group).glob("*.yaml"))
    if choice not in known:
        raise ConfigError(f"{override}: expected {group}= one of {', '.join(known)}{nearest(choice, known)}")
    return f"{group}={choice}"


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the name of `known` most like `name`, else empty."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _nearest_key(key: str, known: list[str]) -> str:
    """The hint for an unknown key: a setting with the same last part, else the one with the most similar name."""
    last = key.rpartition(".")[2]
    same = [name for name in known if name.rpartition(".")[2] == last]
    return f"; did you mean {same[0]}?" if same else nearest(key, known)


@cache
def _types() -> dict[str, Any]:
    """The type of every setting by its dotted key."""
    return _types_of(TrainConfig)


def _types_of(config: Any, prefix: str = "") -> dict[str, Any]:
    hints = get_type_hints(config)
    types: dict[str, Any] = {}
    for field in fields(config):
        hint = hints[field.name]
        types |= _types_of(hint, f"{prefix}{field.name}.") if is_dataclass(hint) else {f"{prefix}{field.name}": hint}
    return types


def _name_of(hint: Any) -> str:
    """A type as messages name it."""
    if get_origin(hint) is list:
        return _LIST_NAMES[get_args(hint)[0]]
    if type(None) in get_args(hint):
        return f"{_name_of(get_args(hint)[0])} or null"
    return _TYPE_NAMES.get(hint, "weights by contrast such as {T2w:1.0}")


def expand(override: str) -> list[str]:
    """The overrides that `@FILE` and `data=FOLDER` stand for; any other override as it is. Raises ConfigError."""
    if override.startswith("@"):
        path = Path(override[1:])
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"{path}: cannot read overrides ({error.strerror}); expected a file of meshnet-tune"
            ) from error
        return [line for line in (raw.strip() for raw in lines) if line and not line.startswith("#")]
    key, _, value = override.partition("=")
    if key == "data" and Path(value).is_dir():
        return ["data=prepared", f"data.folder='{Path(value).resolve()}'"]
    choices = _data_choices()
    if key == "data" and value.strip("'\"") not in choices:
        raise ConfigError(
            f"data={value}: no such folder; expected one written by meshnet-prepare, or one of "
            f"{', '.join(choices)}{nearest(value, choices)}"
        )
    return [override]


def _data_choices() -> list[str]:
    """Choices of `data=` beside a folder: the files of meshnet/conf/data."""
    return sorted(path.stem for path in (_CONF / "data").glob("*.yaml"))
