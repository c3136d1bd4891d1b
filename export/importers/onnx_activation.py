"""Recognise an activation by its values, however an ONNX file writes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from meshnet.model.spec import Activation

Values = NDArray[np.float64]
_erf = np.vectorize(math.erf, otypes=[np.float64])

#: Values at which activations are compared; erf and tanh form of gelu differ by up to 5e-4 between them.
SAMPLE: Values = np.linspace(-6, 6, 241)
_TOLERANCE = 2e-5


def _gelu_tanh(x: Values) -> Values:
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def _gelu(x: Values) -> Values:
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _elu(x: Values, alpha: float = 1.0) -> Values:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


_ACTIVATIONS: Mapping[Activation, Callable[[Values], Values]] = {
    "relu": lambda x: np.maximum(x, 0),
    "elu": _elu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}

#: Operations of which an activation may consist: inputs, attributes -> output.
ELEMENTWISE: Mapping[str, Callable[..., Values]] = {
    "Relu": lambda x, **_: np.maximum(x, 0),
    "Elu": lambda x, alpha=1.0, **_: _elu(x, alpha),
    "LeakyRelu": lambda x, alpha=0.01, **_: np.where(x > 0, x, alpha * x),
    "Selu": lambda x, alpha=1.67326324, gamma=1.05070102, **_: gamma * _elu(x, alpha),
    "Gelu": lambda x, approximate=b"none", **_: _gelu_tanh(x) if approximate == b"tanh" else _gelu(x),
    "Sigmoid": lambda x, **_: 1 / (1 + np.exp(-x)),
    "Tanh": lambda x, **_: np.tanh(x),
    "Erf": lambda x, **_: _erf(x),
    "Add": lambda a, b, **_: a + b,
    "Sub": lambda a, b, **_: a - b,
    "Mul": lambda a, b, **_: a * b,
    "Div": lambda a, b, **_: a / b,
    "Pow": lambda a, b, **_: a**b,
    "Max": lambda *x, **_: np.maximum.reduce(np.broadcast_arrays(*x)),
}


def activation_of(values: Values) -> Activation | None:
    """The activation that turns SAMPLE into `values`; None if there is none."""
    for name, function in _ACTIVATIONS.items():
        if np.allclose(values, function(SAMPLE), rtol=0, atol=_TOLERANCE):
            return name
    return None
