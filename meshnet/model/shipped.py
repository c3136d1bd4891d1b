"""Find models by id: those that ship and, in a checkout, published models imported into `.models/`."""

from __future__ import annotations

from pathlib import Path

from meshnet.model.spec import SpecError

#: Root of the checkout, or the folder in which the packages are installed.
ROOT = Path(__file__).resolve().parents[2]

#: Id of the model that commands use where none is named.
DEFAULT_MODEL = "t2-lesion"


def in_checkout() -> bool:
    """Whether the software runs from its source tree, not from an installed package."""
    return (ROOT / "static" / "package.json").is_file()


def default_models() -> list[Path]:
    """Folders that contain model folders: the models that ship and, in a checkout, `.models/`."""
    if not in_checkout():
        return [ROOT / "webapp" / "models"]
    return [p for p in (ROOT / "models", ROOT / ".models") if p.is_dir()]


def known_models() -> dict[str, Path]:
    """Model folders by id; a folder is named after its model's id."""
    known: dict[str, Path] = {}
    for parent in default_models():
        for description in sorted(parent.glob("*/model.json")):
            known.setdefault(description.parent.name, description.parent)
    return known


def is_model(given: Path) -> bool:
    """Whether a command line's word names a model: a folder with model.json, that file, or a known id."""
    if (given / "model.json").is_file() or (given.name == "model.json" and given.is_file()):
        return True
    return not given.exists() and len(given.parts) == 1 and given.name in known_models()


def find_model(given: Path) -> Path:
    """The model folder that a command line names: `given` if it holds a model.json, else the known model of that id.

    The path of a model.json stands for its folder. Raises SpecError with the list of known ids for a plain name that is
    neither. A longer path, and another folder, are returned unchanged; `load_checkpoint` reports the problem.
    """
    if given.name == "model.json" and given.is_file():
        return given.parent
    if (given / "model.json").is_file() or len(given.parts) != 1:
        return given
    known = known_models()
    if given.name not in known:
        if given.exists():
            return given
        ids = ", ".join(sorted(known)) or "none"
        raise SpecError(f"{given}: no such folder and no known model; give a model folder, or one of these ids: {ids}")
    return known[given.name]
