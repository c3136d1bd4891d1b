"""model.json is read back as written, and every mistake in it is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from meshnet.model.spec import (
    PAPER_DILATIONS,
    Architecture,
    BatchNorm,
    GroupNorm,
    SpecError,
    dump_spec,
    make_labels,
    parameter_count,
    parse_spec,
    read_spec,
    slug,
)
from tests.helpers.paths import REPO
from tests.helpers.specs import a_spec


@pytest.mark.parametrize(("channels", "count"), [(5, 5_682), (16, 56_194), (26, 147_474)])
def test_the_papers_variants_have_exactly_the_papers_parameter_counts(channels: int, count: int) -> None:
    paper = Architecture(channels=channels, classes=2, dilations=PAPER_DILATIONS, activation="relu", norm=BatchNorm())
    assert parameter_count(paper) == count


def test_a_spec_survives_being_written_and_read() -> None:
    spec = a_spec(modality=("T2w",), metrics={"dice_lesion": 0.75})
    assert parse_spec(dump_spec(spec), where="model.json") == spec


def broken(path: str, value: object) -> str:
    """The text of a valid model.json with one field replaced (`a.b.c` for nested ones)."""
    data = json.loads(dump_spec(a_spec()))
    at = data
    *parents, last = path.split(".")
    for part in parents:
        at = at[int(part)] if part.isdigit() else at[part]
    at[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("format", "onnx", "meshnet-import"),
        ("version", 2, "this software reads 1"),
        ("id", "Not An Id", "id"),
        ("id", "../escape", "id"),
        ("colour", "red", "colour"),
        ("architecture.activation", "swish", "activation"),
        ("pieces", "all", "pieces"),
        ("architecture.norm", {"kind": "layer"}, "norm"),
        ("labels.1.role", "tissue", "role"),
        ("architecture.channels", 0, "channels"),
        ("architecture.dilations", [], "dilations"),
        ("architecture.dilations", [1, 0], "dilations"),
        ("architecture.kernel_size", 5, "kernel_size"),
        ("input.size", [0, 256, 256], "size"),
        ("input.voxel_size_mm", 1e-300, "voxel_size_mm"),
        ("input.orientation", "LLA", "names an axis twice"),
        ("input.orientation", "XYZ", "orientation"),
        ("input.normalization", {"kind": "quantile", "low": 0.9, "high": 0.1, "clip": True}, "below high"),
        ("labels", [], "labels have indices"),
        ("labels.1.index", 5, "labels have indices [0, 5]"),
        ("labels.1.color", [0, 0, 300], "color"),
        ("weights.sha256", "abc", "sha256"),
        ("weights.file", "../../etc/passwd", "file"),
        ("weights.dtype", "int8", "dtype"),
    ],
)
def test_a_wrong_field_is_refused_by_name(path: str, value: object, says: str) -> None:
    with pytest.raises(SpecError, match=r"model\.json") as refusal:
        parse_spec(broken(path, value), where="model.json")
    assert says in str(refusal.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"model"'])
def test_text_that_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"m\.json"):
        parse_spec(text, where="m.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_spec(tmp_path / "model.json")


def test_label_colours_stay_valid_beyond_the_palette() -> None:
    labels = make_labels([f"region {i}" for i in range(104)])
    assert [label.index for label in labels] == list(range(104))
    assert labels[0].color == (0, 0, 0)
    assert len({label.color for label in labels}) == 104


def test_a_role_is_written_only_where_a_label_has_one() -> None:
    plain = dump_spec(a_spec())
    assert '"role"' not in plain, "older software must be able to read a model without roles"
    assert [label.role for label in parse_spec(plain, where="m").labels] == [None, None]
    spec = a_spec(labels=make_labels(["background", "lesion"], (None, "lesion")))
    assert '"role": "lesion"' in dump_spec(spec)
    assert parse_spec(dump_spec(spec), where="m") == spec


def test_pieces_are_written_only_where_a_model_keeps_the_largest_alone() -> None:
    assert "pieces" not in dump_spec(a_spec())
    spec = a_spec(pieces="largest")
    assert parse_spec(dump_spec(spec), where="model.json") == spec


def test_a_lesion_has_the_same_colour_with_and_without_tissue_labels() -> None:
    _, lesion = make_labels(["background", "lesion"])
    joint = make_labels(["background", "grey", "white", "lesion"], (None, "context", "context", "lesion"))
    assert joint[3].color == lesion.color
    assert len({label.color for label in joint}) == 4


def test_slug_always_makes_a_valid_id() -> None:
    for text in ("Sub 01 (T2w)", "___", "ÄÖÜ", "a" * 200, "-.-x"):
        assert a_spec(id=slug(text)).id == slug(text)


def test_affine_group_norm_counts_its_parameters() -> None:
    plain = Architecture(channels=4, classes=2, dilations=(1,), activation="gelu", norm=GroupNorm())
    affine = plain.model_copy(update={"norm": GroupNorm(affine=True)})
    assert parameter_count(affine) - parameter_count(plain) == 8


def test_the_committed_schema_is_the_one_these_classes_generate() -> None:
    command = [sys.executable, "-m", "meshnet.model.spec"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    committed = (REPO / "static/src/generated/model.schema.json").read_text()
    assert printed == committed, (
        "run: python -m meshnet.model.spec > static/src/generated/model.schema.json; npm run types"
    )
