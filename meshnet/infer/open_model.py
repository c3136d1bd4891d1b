"""Choose the model that a command names, and open it to be run."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from meshnet.infer.backends import Network, choose_backend, open_network
from meshnet.infer.kernel.library import load_kernel
from meshnet.model.checkpoint import load_checkpoint
from meshnet.model.shipped import DEFAULT_MODEL, find_model, is_model, known_models
from meshnet.model.spec import ModelSpec, SpecError
from meshnet.scan.scan_paths import SCAN_SUFFIXES

_IMPORT = "import it with meshnet-import FILE -o FOLDER and give the folder"
_KERAS = "convert it with tensorflowjs.converters.save_keras_model(model, FOLDER), then import that folder"

#: Endings of model files of other formats: what they are, and the remedy. The page has the same list
#: (static/src/page/ui/foreign-models.ts).
FOREIGN_MODELS = {
    ".onnx": ("an ONNX model", _IMPORT),
    ".pt": ("a PyTorch model", _IMPORT),
    ".pth": ("a PyTorch model", _IMPORT),
    ".ckpt": ("a PyTorch checkpoint", _IMPORT),
    ".safetensors": ("a file of weights", _IMPORT),
    ".h5": ("an HDF5 file, such as a Keras model", _KERAS),
    ".hdf5": ("an HDF5 file, such as a Keras model", _KERAS),
    ".keras": ("a Keras model", _KERAS),
    ".tflite": ("a TensorFlow Lite model", "export the original model to ONNX and import that"),
    ".pb": ("a TensorFlow graph", "export the original model to ONNX and import that"),
}


@dataclass(frozen=True)
class OpenModel:
    """A model that is ready to run on this machine."""

    spec: ModelSpec
    network: Network
    steps: int  #: calls of the network's progress callback in a run
    backend: str  #: one of `BACKENDS`
    reason: str | None  #: why this backend was chosen; None if it was asked for
    device: str  #: what it runs on


def open_model(given: Path, *, backend: str | None, threads: int) -> OpenModel:
    """Open the model that `given` names: an id, a model folder or its model.json.

    backend: None for the fastest one. Raises SpecError if the model can't be read or run.
    """
    spec, weights = load_checkpoint(find_model(given))
    check_input(spec)
    chosen, reason = (backend, None) if backend is not None else choose_backend()
    network, steps = open_network(spec, weights, backend=chosen, threads=threads)
    device = load_kernel().cpu if chosen == "cpu" else f"{platform.machine()} CPU"
    return OpenModel(spec, network, steps, chosen, reason, device)


def check_input(spec: ModelSpec) -> None:
    """Raise SpecError for a model that can't run on one conformed scan."""
    if spec.architecture.in_channels != 1:
        raise SpecError(
            f"{spec.id}: expects {spec.architecture.in_channels} input channels; meshnet-predict gives it one scan"
        )
    if len(set(spec.input.size)) != 1:
        raise SpecError(f"{spec.id}: input size {spec.input.size} is not a cube; conform only makes cubes")


def model_and_scans(words: Sequence[str], model: str | None, *, lists: bool) -> tuple[Path, list[str]]:
    """The model and the scans of a command line `[MODEL] SCAN...`; the default model where none is named.

    The first word is the model if it is a model folder, a model.json or a known id, also if a folder of that name is
    there. Write ./NAME for such a folder of scans. A first word that is neither a model nor a scan, and has other words
    after it, is taken for a model, so that opening it reports the mistake. model: the value of --model, with which all
    words are scans. lists: scans are listed elsewhere, so there may be no word.

    Raises SpecError for a scan in the place of the model, a model among the scans, and a missing scan.
    """
    if "" in words or model == "":
        raise SpecError("an empty word stands in the place of a scan or model; check the variables of the command")
    if model is None and words and _is_model_word(words[0]):
        model, words = words[0], words[1:]
        if not words and not lists:
            hint = f"; for the folder of this name give {os.path.join('.', model)}" if Path(model).is_dir() else ""
            raise SpecError(f"{model}: is the model; name a scan after it{hint}")
    for word in [*words, *([model] if model else [])]:
        _refuse_foreign_model(word)
    if not words and not lists:
        raise SpecError("no scan is named; give files or folders: meshnet-predict SCAN...")
    other = next((word for word in words if is_model(Path(word))), None)
    if model is not None:
        if other is not None:
            raise SpecError(f"{other}: is a model, not a scan; give one model, then the scans")
        return Path(model), list(words)
    if other is not None:
        raise SpecError(
            f"{words[0]}: is not a model; {other} is one; the model comes first: meshnet-predict {other} {words[0]}"
        )
    if not words or _may_be_scan(words[0]):
        return Path(DEFAULT_MODEL), list(words)
    if len(words) == 1 and not lists:
        ids = ", ".join(sorted(known_models())) or "none"
        raise SpecError(f"{words[0]}: no such file or folder; give a scan, or one of these models and a scan: {ids}")
    return Path(words[0]), list(words[1:])


def _refuse_foreign_model(word: str) -> None:
    """Raise SpecError for a model file of another format, which would be taken for a scan."""
    path = Path(word)
    if path.suffix.lower() in FOREIGN_MODELS and path.is_file():
        what, remedy = FOREIGN_MODELS[path.suffix.lower()]
        if is_model(path.parent):
            remedy = f"give its folder, {path.parent}"
        raise SpecError(f"{word}: is {what}, neither a scan nor a model folder; {remedy}")


def _is_model_word(word: str) -> bool:
    return is_model(Path(word)) or (os.path.basename(word) == word and word in known_models())


def _may_be_scan(word: str) -> bool:
    """Whether a word names something that exists, a list, a pattern, or a file that would be a scan."""
    if Path(word).exists() or Path(word).is_symlink() or word == "-":
        return True
    return word.startswith("@") or any(letter in word for letter in "*?[") or word.lower().endswith(SCAN_SUFFIXES)
