"""Read files of named tensors: safetensors and PyTorch files, recognised by content, never by suffix."""

from __future__ import annotations

import pickle
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors

from export.importers.source import Array
from meshnet.model.spec import SpecError

#: Keys under which training code stores the network's weights in a PyTorch file.
_STATE_DICTS = ("model_state_dict", "state_dict", "model")


def read_tensors(path: Path) -> tuple[dict[str, Array], str]:
    """Tensors by name as float32, and the format ('safetensors' or 'PyTorch file').

    Raises SpecError for any other file, for a damaged one, and for a pickle that would run code.
    """
    payload = path.read_bytes()
    if _is_safetensors(payload):
        try:
            tensors = parse_safetensors(payload)
        except (SafetensorError, KeyError) as error:
            raise SpecError(f"{path}: damaged safetensors file ({error}); copy it again") from error
        return {name: np.asarray(array, np.float32) for name, array in tensors.items()}, "safetensors"
    _refuse_other_formats(path, payload)
    if payload[:4] == b"PK\x03\x04" or payload[:1] == b"\x80":
        return _read_pytorch(path), "PyTorch file"
    raise SpecError(
        f"{path}: neither a safetensors nor a PyTorch file (starts with {payload[:8]!r}); "
        f"expected one of those, a TF.js model.json, a web bundle folder or an ONNX file"
    )


def zip_members(path: Path) -> list[str]:
    """Names of the files in a zip; none if `path` isn't one."""
    try:
        with ZipFile(path) as archive:
            return archive.namelist()
    except BadZipFile:
        return []


_FROM_KERAS = "convert the model to TF.js first: tensorflowjs.converters.save_keras_model(model, FOLDER)"
_FROM_TORCH = "save the tensors of the module that it was made from: torch.save(model.state_dict(), FILE)"
#: Where a file's bytes say another format: offset, bytes, what the file is, what to do.
_OTHER_FORMATS = (
    (0, b"\x89HDF\r\n", "an HDF5 file, as Keras 2 writes it", _FROM_KERAS),
    (4, b"TFL3", "a TensorFlow Lite model, whose layers are compiled", _FROM_KERAS),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch it: git lfs pull"),
    (0, b"<", "a web page or XML, not a model", "download the file itself"),
)
#: Where the members of a zip say another format.
_OTHER_ARCHIVES = (
    ("model.weights.h5", "a Keras 3 archive", _FROM_KERAS),
    ("exported_program.json", "a program of torch.export", _FROM_TORCH),
    ("/models/model.json", "a program of torch.export", _FROM_TORCH),
)


def _refuse_other_formats(path: Path, payload: bytes) -> None:
    for offset, magic, what, advice in _OTHER_FORMATS:
        if payload[offset : offset + len(magic)] == magic:
            raise SpecError(f"{path}: {what}; {advice}")
    members = zip_members(path)
    for end, what, advice in _OTHER_ARCHIVES:
        if any(name.endswith(end) for name in members):
            raise SpecError(f"{path}: {what}; {advice}")


def _is_safetensors(payload: bytes) -> bool:
    """Whether the bytes start with a header length (8 bytes) and a JSON object."""
    return payload[8:9] == b"{" and int.from_bytes(payload[:8], "little") < 100_000_000


def _read_pytorch(path: Path) -> dict[str, Array]:
    try:
        import torch  # slow to import, and only PyTorch files need it
    except ImportError as error:
        raise SpecError(f"{path}: a PyTorch file; reading it needs torch: pip install 'meshnet[export]'") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SpecError(
            f"{path}: reading this pickle would run code, which is refused; "
            f"save the state_dict alone: torch.save(model.state_dict(), FILE)"
        ) from error
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        # PyTorch's own message may advise to load the file without protection; it is not shown.
        raise SpecError(f"{path}: damaged PyTorch file ({type(error).__name__}); copy it again") from error
    state = content
    if isinstance(content, dict):
        inner = [content[key] for key in _STATE_DICTS if isinstance(content.get(key), dict)]
        if len(inner) > 1:
            raise SpecError(f"{path}: several of {', '.join(_STATE_DICTS)} are in this file; save one of them alone")
        state = inner[0] if inner else content
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise SpecError(
            f"{path}: no state_dict found; expected tensors by name, at the top level or under one of "
            f"{', '.join(_STATE_DICTS)}"
        )
    return {str(name): value.to(torch.float32).numpy() for name, value in state.items()}
