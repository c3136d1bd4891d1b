"""Read TorchScript files without running them: tensors from the archive's pickle, facts from its program text.

The archive is a zip with `data.pkl` (the modules and their attributes), `data/N` (the bytes of the tensors) and
`code/*.py` (one class per kind of module). The unpickler knows five names and makes inert objects of all modules.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from export.importers.source import TORCH_EPS, Array, Convolution, Source, chain_of_tensors
from meshnet.model.spec import Activation, BatchNorm, GroupNorm, NoNorm, SpecError

_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
#: Operations that a MeshNet doesn't have; a program with one of them isn't a chain of convolutions.
_FOREIGN = re.compile(
    r"torch\.(cat|stack|\w*pool\w*|conv_transpose\w*|upsample\w*|\w*interpolate\w*|linear|matmul|bmm|leaky_relu|prelu"
    r"|silu|sigmoid|tanh|mish|hardtanh|relu6|selu|celu|softplus|layer_norm)_?\("
)
#: Arithmetic between tensors, such as a skip connection, in code that isn't PyTorch's.
_ARITHMETIC = re.compile(r"torch\.(add|sub|mul|div)_?\(")
#: Stride, padding and dilation of a convolution.
_CONVOLUTION = re.compile(r"torch\.(?:conv3d|_convolution)\([^\[\]]*\[([^\]]*)\], \[([^\]]*)\], \[([^\]]*)\]")
_EPS = re.compile(r"eps : Final\[float\] = ([\d.e-]+)|torch\.batch_norm\([^()]*, ([\d.e-]+), (?:True|False)\)")


def is_torchscript(names: list[str]) -> bool:
    """Whether a zip with these members is a TorchScript archive."""
    inside = {name.partition("/")[2] for name in names}
    return {"data.pkl", "constants.pkl"} <= inside and any(name.startswith("code/") for name in inside)


def read_torchscript(path: Path) -> Source:
    """Read the chain of convolutions of a TorchScript file.

    Dilations, activation and norm are None in the result where the program doesn't show them plainly. Raises SpecError
    for a program that isn't a chain, for a frozen one, and for a damaged file.
    """
    try:
        with ZipFile(path) as archive:
            folder = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
            code = {
                name.removeprefix(f"{folder}code/"): archive.read(name).decode()
                for name in archive.namelist()
                if name.startswith(f"{folder}code/") and name.endswith(".py")
            }
            root = _Unpickler(archive, folder).load()
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from error
    except (BadZipFile, pickle.UnpicklingError, KeyError, TypeError, ValueError, EOFError, AttributeError) as error:
        raise SpecError(f"{path}: damaged TorchScript file ({type(error).__name__}); copy it again") from error
    text = "\n".join(code.values())
    own = "\n".join(content for name, content in code.items() if not name.startswith("__torch__/torch/nn/"))
    foreign = _FOREIGN.search(text) or _ARITHMETIC.search(own)
    if foreign:
        raise SpecError(
            f"{path}: a TorchScript program with {foreign[0].split('(')[0]}; "
            f"only a plain chain of 3-D convolutions, norms and activations is a MeshNet"
        )
    modules = dict(_modules("", root))
    tensors = {
        f"{name}.{key}".removeprefix("."): value
        for name, module in modules.items()
        for key, value in module.state.items()
        if isinstance(value, np.ndarray)
    }
    if not tensors:
        raise SpecError(
            f"{path}: a TorchScript file without parameters, as torch.jit.freeze makes it; "
            f"save the module before it is frozen, or its state_dict: torch.save(model.state_dict(), FILE)"
        )
    convolutions = chain_of_tensors(str(path), tensors)
    source = Source(
        where=str(path),
        kind="TorchScript file",
        convolutions=convolutions,
        dilations=_dilations(path, convolutions, modules, code),
        activation=_activation(text),
        norm=_norm(path, convolutions, text),
    )
    if convolutions[0].has_batch_norm and not _EPS.search(text):
        source = source.with_notes(f"BatchNorm's eps is not in the file; PyTorch's default {TORCH_EPS} is used")
    return source


class _Module:
    """A module of the program: the name of its class and its attributes, nothing that runs."""

    kind = ""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Unpickler(pickle.Unpickler):
    def __init__(self, archive: ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}data.pkl")))
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            # A fresh class, because unpickling makes objects without calling __init__.
            return type(name, (_Module,), {"kind": f"{module}.{name}", "state": {}})
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return list
        if module == "torch" and name in _STORAGES:
            return name
        raise SpecError(f"a TorchScript file with {module}.{name}, which is not read; save the state_dict alone")

    def persistent_load(self, pid: Any) -> NDArray[Any]:
        _, storage, key, *_ = pid
        return np.frombuffer(self._archive.read(f"{self._folder}data/{key}"), _STORAGES[storage])


def _tensor(storage: NDArray[Any], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Array:
    """The strided view of the storage, as float32. Raises ValueError if it leaves the storage."""
    steps = [(n - 1) * step for n, step in zip(size, stride, strict=True)]
    if min((offset, *size, *stride)) < 0 or (0 not in size and offset + sum(steps) >= len(storage)):
        raise ValueError("a tensor leaves its storage")
    view = np.lib.stride_tricks.as_strided(storage[offset:], size, [s * storage.itemsize for s in stride])
    return np.array(view, np.float32)


def _modules(name: str, value: Any) -> Iterator[tuple[str, _Module]]:
    if not isinstance(value, _Module):
        return
    yield name, value
    for key, inner in value.state.items():
        yield from _modules(f"{name}.{key}".removeprefix("."), inner)


def _dilations(
    path: Path, convolutions: tuple[Convolution, ...], modules: dict[str, _Module], code: dict[str, str]
) -> tuple[int, ...] | None:
    """The dilations, if the class of each convolution states them."""
    dilations = []
    for convolution in convolutions:
        module = modules[convolution.name]
        found = _CONVOLUTION.search(code.get(f"{module.kind.rpartition('.')[0].replace('.', '/')}.py", ""))
        if found is None:
            return None
        stride, padding, dilation = ([int(n) for n in group.split(",")] for group in found.groups())
        where = f"{path}: {convolution.name}"
        wanted = [d * (k - 1) // 2 for d, k in zip(dilation, convolution.weight.shape[2:], strict=True)]
        if set(stride) != {1}:
            raise SpecError(f"{where}: stride {stride}; only stride 1 is supported")
        if len(set(dilation)) != 1:
            raise SpecError(f"{where}: mixed dilations {dilation}; expected the same number along each axis")
        if padding != wanted:
            raise SpecError(f"{where}: padding {padding}; expected dilation * (kernel - 1) / 2 = {wanted}")
        dilations.append(dilation[0])
    return tuple(dilations[:-1])


def _activation(text: str) -> Activation | None:
    """The activation, if the program calls only one, with parameters that a MeshNet has."""
    calls = re.findall(r"torch\.(relu|elu|gelu)_?\(\w+(.*)\)", text)
    found = {name for name, _ in calls}
    if len(found) != 1:
        return None
    name, parameters = found.pop(), {rest for _, rest in calls}
    if name == "gelu" and any("tanh" in rest for rest in parameters):
        return "gelu_tanh" if all("tanh" in rest for rest in parameters) else None
    if name == "elu":
        alphas = {rest for rest in parameters if rest != ", alpha"} - {""}
        alphas |= {f", {alpha}" for alpha in re.findall(r"alpha : Final\[float\] = (\S+)", text)}
        if not alphas <= {", 1.", ", 1"} or (not alphas and ", alpha" in parameters):
            return None
    return cast(Activation, name)


def _norm(path: Path, convolutions: tuple[Convolution, ...], text: str) -> NoNorm | BatchNorm | GroupNorm | None:
    first = convolutions[0]
    if first.has_batch_norm:
        found = {float(a or b) for a, b in _EPS.findall(text)} or {TORCH_EPS}
        if len(found) > 1:
            raise SpecError(f"{path}: mixed eps of BatchNorm: {sorted(found)}; all layers must be alike")
        return BatchNorm(eps=found.pop())
    if first.norm is not None:
        return GroupNorm(affine=True, eps=TORCH_EPS)
    return None if re.search(r"torch\.(group_norm|instance_norm|batch_norm)\(", text) else NoNorm()
