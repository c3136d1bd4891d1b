"""TF.js graph models, with the operations that `tensorflowjs_converter` 4.22 writes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Node = dict[str, Any]
Constants = dict[str, NDArray[Any]]

#: The operations that Keras 3 compiles gelu to: operation, inputs; "x" is the tensor before it.
GELU = (
    ("Mul", "half", "x"),
    ("Neg", "x"),
    ("Mul", "Neg", "rsqrt2"),
    ("Erfc", "Mul_1"),
    ("Mul", "Mul", "Erfc"),
)


class Graph:
    """A chain that grows node by node; `last` is the name of the tensor at its end."""

    def __init__(self) -> None:
        size = {"dim": [{"size": n} for n in ("-1", "256", "256", "256", "1")]}
        self.nodes: list[Node] = [{"name": "input", "op": "Placeholder", "attr": {"shape": {"shape": size}}}]
        self.constants: Constants = {}
        self.last = "input"

    def add(self, op: str, *constants: NDArray[Any], **attr: Any) -> None:
        """A node that takes the end of the chain and these constants."""
        name = f"n{len(self.nodes)}/{op}"
        names = [f"{name}/c{i}" for i in range(len(constants))]
        self.constants |= dict(zip(names, constants, strict=True))
        self.nodes += [{"name": constant, "op": "Const"} for constant in names]
        self.nodes.append({"name": name, "op": op, "input": [self.last, *names], "attr": attr})
        self.last = name

    def conv(self, kernel: NDArray[np.float32], dilation: int, *, any_size: bool = False) -> None:
        """A convolution as large as its input. any_size: the ends of the padding are computed, as for no fixed size."""
        padding = "SAME" if dilation == 1 else "VALID"
        attr = {
            "padding": {"s": base64.b64encode(padding.encode()).decode()},
            "data_format": {"s": base64.b64encode(b"NDHWC").decode()},
            "strides": {"list": {"i": ["1"] * 5}},
            "dilations": {"list": {"i": ["1"] * 5}},
        }
        if dilation == 1:
            self.add("Conv3D", kernel, **attr)
            return
        block, extra = np.full(3, dilation, np.int32), -(256 + 2 * dilation) % dilation
        for op, begin, end in (("SpaceToBatchND", dilation, dilation + extra), ("BatchToSpaceND", 0, extra)):
            self.add(op, block, np.array([[begin, end]] * 3, np.int32))
            if any_size:
                self._computed_ends(begin)
            if op == "SpaceToBatchND":
                self.add("Conv3D", kernel, **attr)

    def _computed_ends(self, begin: int) -> None:
        pairs = f"{self.last}/c1"
        self.constants.pop(pairs)
        (node,) = [node for node in self.nodes if node["name"] == pairs]
        node |= {"op": "Pack", "input": [f"{pairs}/{axis}" for axis in range(3)]}
        for axis in range(3):
            first = f"{pairs}/{axis}/first"
            self.constants[first] = np.array(begin, np.int32)
            self.nodes.append({"name": first, "op": "Const"})
            self.nodes.append({"name": f"{pairs}/{axis}", "op": "Pack", "input": [first, f"{pairs}/{axis}/end"]})
            self.nodes.append({"name": f"{pairs}/{axis}/end", "op": "FloorMod", "input": [f"{pairs}/shape"]})
        self.nodes.append({"name": f"{pairs}/shape", "op": "Shape", "input": [self.nodes[0]["name"]]})

    def gelu(self) -> None:
        before, prefix, seen = self.last, f"g{len(self.nodes)}/", dict[str, int]()
        for name, value in (("half", 0.5), ("rsqrt2", 0.5**0.5)):
            self.constants[prefix + name] = np.array(value, np.float32)
            self.nodes.append({"name": prefix + name, "op": "Const"})
        for op, *inputs in GELU:
            name = op if op not in seen else f"{op}_{seen[op]}"
            seen[op] = seen.get(op, 0) + 1
            self.nodes.append(
                {"name": prefix + name, "op": op, "input": [before if i == "x" else prefix + i for i in inputs]}
            )
            self.last = prefix + name

    def write(self, folder: Path) -> None:
        arrays = list(self.constants.items())
        (folder / "g.bin").write_bytes(b"".join(array.tobytes() for _, array in arrays))
        weights = [{"name": name, "shape": list(a.shape), "dtype": str(a.dtype)} for name, a in arrays]
        model = {
            "format": "graph-model",
            "modelTopology": {"node": self.nodes},
            "weightsManifest": [{"paths": ["g.bin"], "weights": weights}],
        }
        (folder / "model.json").write_text(json.dumps(model), encoding="utf-8")


def small_graph(
    *, any_size: bool = False, norm: bool = False, edit: Callable[[Graph], object] = lambda graph: None
) -> tuple[Graph, list[NDArray[np.float32]]]:
    """Two layers of 4 channels with dilations 1 and 2, gelu, and a classifier of two classes; and the three kernels."""
    rng = np.random.default_rng(0)
    shapes = ((3, 3, 3, 1, 4), (3, 3, 3, 4, 4), (1, 1, 1, 4, 2))
    kernels = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    graph = Graph()
    for kernel, dilation in zip(kernels[:2], (1, 2), strict=True):
        graph.conv(kernel, dilation, any_size=any_size)
        graph.add("BiasAdd", np.arange(4, dtype=np.float32))
        if norm:
            graph.add("Mul", np.array([1, 2, 3, 4], np.float32))
            graph.add("AddV2", np.array([5, 5, 5, 5], np.float32))
        edit(graph)
        graph.gelu()
    graph.conv(kernels[2], 1)
    graph.add("BiasAdd", np.array([0, 1], np.float32))
    graph.add("Softmax")
    graph.add("Identity")
    return graph, kernels
