"""ModelSpec: the description of a model, stored as `model.json` beside its weights.

All readers of a model (PyTorch, the exporters, the server, the browser) use this description and no other. A new
variant of the network is new data here, never a subclass or a flag elsewhere. `static/src/generated/` is generated from
these classes (`python -m meshnet.model.spec` prints the JSON Schema).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FORMAT = "meshnet-model"
FORMAT_VERSION = 1

#: An optional small picture beside model.json, shown in the page's list of models (export/FORMAT.md).
PICTURE_FILE = "picture.png"

#: Dilations of the nine 3x3x3 convolutions of MeshNet-5, -16 and -26 in the stroke lesion paper.
PAPER_DILATIONS = (1, 2, 4, 8, 16, 16, 8, 4, 2)

Activation = Literal["relu", "elu", "gelu", "gelu_tanh"]
"""`elu` has alpha 1; `gelu` is the exact erf form, `gelu_tanh` its tanh approximation."""


#: A model's id, and the same in words.
ID_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
ID_RULE = "1 to 64 lower-case letters, digits, '.', '_' or '-', a letter or digit first"

#: Characters of a model's name, at most.
NAME_LENGTH = 100


class SpecError(ValueError):
    """A model that can't be used. The message names the file, the field, its value and the remedy."""


class _Strict(BaseModel):
    """Base of all parts: unknown fields are errors, so that a misspelt field can't silently become a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class NoNorm(_Strict):
    kind: Literal["none"] = "none"


class BatchNorm(_Strict):
    """BatchNorm3d after every 3x3x3 convolution; folded into it by every exporter."""

    kind: Literal["batch"] = "batch"
    eps: float = Field(default=1e-5, gt=0)


class GroupNorm(_Strict):
    """GroupNorm with one group per channel (instance norm), statistics over the whole volume."""

    kind: Literal["group"] = "group"
    affine: bool = False
    eps: float = Field(default=1e-5, gt=0)


class Architecture(_Strict):
    """A chain of `len(dilations)` layers [conv k^3 -> norm -> activation], then a 1x1x1 classifier.

    Every convolution has stride 1 and zero padding `dilation * (kernel_size - 1) / 2`, so that the
    output has the size of the input.
    """

    in_channels: int = Field(default=1, ge=1, le=16)
    channels: int = Field(ge=1, le=512)
    classes: int = Field(ge=2, le=256)
    dilations: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field(min_length=1, max_length=64)
    kernel_size: Literal[3] = 3
    activation: Activation
    norm: Annotated[NoNorm | BatchNorm | GroupNorm, Field(discriminator="kind")] = NoNorm()
    conv_bias: bool = True
    classifier_bias: bool = True


class MinMax(_Strict):
    """`(x - min) / (max - min)` over the whole conformed volume, to [0, 1]."""

    kind: Literal["minmax"] = "minmax"


class Quantile(_Strict):
    """`(x - q_low) / (q_high - q_low)`, quantiles over all voxels (linear interpolation)."""

    kind: Literal["quantile"] = "quantile"
    low: float = Field(ge=0, lt=1)
    high: float = Field(gt=0, le=1)
    clip: bool = Field(default=True, description="clip the result to [0, 1]")

    @model_validator(mode="after")
    def _low_below_high(self) -> Quantile:
        if self.low >= self.high:
            raise ValueError(f"quantile low {self.low} must be below high {self.high}")
        return self


Normalization = Annotated[MinMax | Quantile, Field(discriminator="kind")]

_AXIS_OF_LETTER = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}


#: Voxels along one axis of the grid.
Edge = Annotated[int, Field(ge=1, le=1024)]


class InputSpec(_Strict):
    """The network's input: the conformed scan, reordered to `orientation`, then normalised."""

    size: tuple[Edge, Edge, Edge] = (256, 256, 256)
    voxel_size_mm: float = Field(default=1.0, ge=0.01, le=100)
    orientation: str = Field(
        default="LIA",
        pattern="^[LRPAIS]{3}$",
        description="direction in which each of the network's axes D, H, W increases",
    )
    normalization: Normalization = MinMax()

    @model_validator(mode="after")
    def _three_distinct_axes(self) -> InputSpec:
        if sorted(_AXIS_OF_LETTER[c] for c in self.orientation) != [0, 1, 2]:
            raise ValueError(f"orientation {self.orientation!r} names an axis twice, e.g. use 'LIA' or 'RAS'")
        return self


Byte = Annotated[int, Field(ge=0, le=255)]

LabelRole = Literal["lesion", "context"]


class Label(_Strict):
    index: int = Field(ge=0, le=255)
    name: str = Field(min_length=1, max_length=100)
    color: tuple[Byte, Byte, Byte] = Field(description="R, G, B")
    freesurfer_id: int | None = Field(default=None, ge=0)
    role: LabelRole | None = Field(
        default=None,
        exclude_if=lambda role: role is None,  # so that older software reads every model without roles
        description="'lesion': shown at first and saved. 'context': tissue or fluid of the brain around the lesion, "
        "hidden at first. Together they are the brain. Without a role: shown at first and saved",
    )


class Provenance(_Strict):
    """Origin of the weights; "unknown" where it is not known."""

    source: str = "unknown"
    data: str = "unknown"
    command: str = "unknown"
    commit: str = "unknown"
    license: str = "unknown"
    citation: str = ""


class WeightsFile(_Strict):
    file: str = Field(default="weights.safetensors", pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
    dtype: Literal["float32", "float16"] = "float32"
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ModelSpec(_Strict):
    """One model: architecture, input, labels, provenance, and the file that holds its weights."""

    format: Literal["meshnet-model"] = "meshnet-model"
    version: Literal[1] = 1
    id: str = Field(pattern=f"^{ID_PATTERN}$")
    name: str = Field(min_length=1, max_length=NAME_LENGTH)
    description: str = ""
    task: str = Field(default="segmentation", description="what is segmented, e.g. 'stroke lesion'")
    modality: tuple[str, ...] = Field(default=(), description="BIDS suffixes the model was made for, e.g. T1w")
    architecture: Architecture
    input: InputSpec = InputSpec()
    labels: tuple[Label, ...]
    pieces: Literal["largest"] | None = Field(
        default=None,
        exclude_if=lambda pieces: pieces is None,  # so that older software reads every other model
        description="'largest': of all that is labelled, voxels joined by faces, only the largest piece is kept and "
        "the rest becomes background (docs/conform.md). Null or missing: every piece is kept",
    )
    provenance: Provenance = Provenance()
    metrics: dict[str, float] = Field(default_factory=dict)
    weights: WeightsFile

    @model_validator(mode="after")
    def _one_label_per_class(self) -> ModelSpec:
        indices = [label.index for label in self.labels]
        if indices != list(range(self.architecture.classes)):
            raise ValueError(
                f"labels have indices {indices}, expected 0..{self.architecture.classes - 1} "
                f"in order (one per class of the architecture)"
            )
        return self


#: Colours (R, G, B) of labels without one: background, then hues that differ clearly on grey.
PALETTE: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0), (230, 60, 60), (70, 160, 240), (245, 205, 70), (90, 200, 110), (190, 110, 220),
    (255, 140, 50), (60, 200, 200), (250, 130, 180), (160, 120, 80), (170, 220, 60), (110, 110, 240),
)  # fmt: skip


def make_labels(names: Sequence[str], roles: Sequence[LabelRole | None] = ()) -> tuple[Label, ...]:
    """Labels 0 to n - 1 with the colours of `PALETTE`, which repeat in darker shades.

    roles: of each label; empty: none has one. Lesions take the first colours, so that a lesion is red in every model.
    """

    def color(place: int) -> tuple[int, int, int]:
        if place == 0:
            return PALETTE[0]
        turn, hue = divmod(place - 1, len(PALETTE) - 1)
        r, g, b = (round(c * 0.75**turn) for c in PALETTE[1 + hue])
        return r, g, b

    role_of = dict(enumerate(roles))
    foreground = sorted(range(1, len(names)), key=lambda index: role_of.get(index) != "lesion")
    places = {0: 0} | {index: place for place, index in enumerate(foreground, start=1)}
    return tuple(Label(index=i, name=name, color=color(places[i]), role=role_of.get(i)) for i, name in enumerate(names))


def parameter_count(architecture: Architecture) -> int:
    """Number of trainable parameters; 5,682, 56,194 and 147,474 for the paper's MeshNet-5, -16 and -26."""
    a = architecture
    affine = isinstance(a.norm, BatchNorm) or (isinstance(a.norm, GroupNorm) and a.norm.affine)
    per_channel = int(a.conv_bias) + 2 * int(affine)
    total, width = 0, a.in_channels
    for _ in a.dilations:
        total += a.channels * (width * a.kernel_size**3 + per_channel)
        width = a.channels
    return total + a.classes * (width + int(a.classifier_bias))


def parse_spec(text: str, *, where: str) -> ModelSpec:
    """Parse the text of a `model.json`. Raises SpecError that names `where` and every wrong field."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(f"{where}: not valid JSON ({error}); expected a {FORMAT} description") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        got = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise SpecError(
            f'{where}: expected "format": "{FORMAT}", got {got!r}; bring other models in with meshnet-import'
        )
    if data.get("version") != FORMAT_VERSION:
        raise SpecError(
            f"{where}: format version {data.get('version')!r}, this software reads {FORMAT_VERSION}; "
            f"update the software or export the model again"
        )
    return _parsed(text, where)


def check_spec(spec: ModelSpec) -> None:
    """Raise SpecError for a spec that `parse_spec` would refuse; `model_copy(update=...)` doesn't check its fields."""
    _parsed(dump_spec(spec), spec.id)


def _parsed(text: str, where: str) -> ModelSpec:
    try:
        return ModelSpec.model_validate_json(text)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in e['loc']) or 'model'}: {e['msg']} (got {_short(e['input'])})"
            for e in error.errors()
        ]
        raise SpecError(f"{where}: " + "; ".join(lines)) from error


def read_spec(path: Path) -> ModelSpec:
    """Read a `model.json` file. Raises SpecError if it is missing or malformed."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such file; a model folder holds model.json and its weights") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text ({error}); expected a {FORMAT} description") from error
    return parse_spec(text, where=str(path))


def dump_spec(spec: ModelSpec) -> str:
    """The text of `model.json`: fields in fixed order, indented by two spaces, with a final newline."""
    return spec.model_dump_json(indent=2) + "\n"


def slug(text: str) -> str:
    """A valid model id derived from any text."""
    return re.sub(r"[^a-z0-9.-]+", "-", text.lower()).strip("-.")[:64] or "model"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


if __name__ == "__main__":
    print(json.dumps(ModelSpec.model_json_schema(mode="serialization"), indent=2))
