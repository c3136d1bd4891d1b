"""TF.js layers folders: brainchop's conventions, and every refusal by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.import_model import Answers, import_model
from meshnet.model.spec import BatchNorm, GroupNorm, MinMax, NoNorm, SpecError, make_labels
from tests.helpers.tfjs_folders import Layer, Model, conv, keras3, keras_tensor, layer, network, write

INPUT = Answers(normalization=MinMax(), orientation="LIA")
Edit = Callable[[list[Layer]], object]
WITH_LABELS = Answers(**{**vars(INPUT), "labels": make_labels(["background", "brain"])})


@pytest.mark.parametrize("shards", [1, 3])
def test_what_the_folder_says_is_read(tmp_path: Path, shards: int) -> None:
    arrays = write(tmp_path, network(), shards=shards)
    (tmp_path / "colormap.json").write_text(
        '{"R": [0, 1], "G": [0, 2], "B": [0, 3], "labels": ["background", "brain"]}'
    )
    imported = import_model(tmp_path, INPUT)
    a = imported.spec.architecture
    assert (a.dilations, a.activation, a.norm, a.conv_bias) == ((1, 2), "relu", NoNorm(), True)
    assert [(label.name, label.color) for label in imported.spec.labels] == [
        ("background", (0, 0, 0)),
        ("brain", (1, 2, 3)),
    ]
    kernel = imported.weights["layers.1.conv.weight"]
    for o, i, d, h, w in ((0, 1, 2, 0, 1), (3, 2, 0, 1, 2)):
        assert kernel[o, i, d, h, w] == arrays["conv3d_1/kernel"][d, h, w, i, o]


def test_normalisation_orientation_and_missing_labels_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path, network())
    with pytest.raises(
        SpecError, match=r"does not state the labels, normalization, orientation; state it with --labels"
    ):
        import_model(tmp_path, Answers())


def test_the_suffix_gn_is_a_norm_per_channel(tmp_path: Path) -> None:
    write(tmp_path, network("_gn", "gelu", bias=False))
    a = import_model(tmp_path, WITH_LABELS).spec.architecture
    assert (a.norm, a.activation, a.conv_bias) == (GroupNorm(affine=False, eps=1e-5), "gelu", False)
    with pytest.raises(SpecError, match="--norm contradicts the source, which states group, not none"):
        import_model(tmp_path, Answers(**{**vars(WITH_LABELS), "norm": "none"}))


def test_batch_normalization_after_each_convolution_is_read_with_its_eps(tmp_path: Path) -> None:
    arrays = write(tmp_path, with_batch_norm(axis=[4]))
    imported = import_model(tmp_path, WITH_LABELS)
    assert imported.spec.architecture.norm == BatchNorm(eps=1e-3)
    assert np.array_equal(imported.weights["layers.1.norm.running_var"], arrays["bn_1/moving_variance"])


def with_batch_norm(axis: object = -1) -> list[Layer]:
    layers = network()
    for i in (1, 0):
        norm = layer("BatchNormalization", f"conv3d_{i}", {"name": f"bn_{i}", "epsilon": 1e-3, "axis": axis})
        layers[2 * i + 2]["inbound_nodes"] = [[[f"bn_{i}", 0, 0, {}]]]
        layers.insert(2 * i + 2, norm)
    return layers


def numbered(layers: list[Layer], edit: Callable[[Model], object]) -> Callable[[Model], object]:
    """The edit of a folder whose weights have the numbers of a `.keras` archive."""
    folders = {
        entry["config"]["name"]: f"layers/{kind}{f'_{i}' if i else ''}"
        for class_name, kind in (("Conv3D", "conv3d"), ("BatchNormalization", "batch_normalization"))
        for i, entry in enumerate(entry for entry in layers if entry["class_name"] == class_name)
    }
    parts = ["kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance"]

    def rename(model: Model) -> None:
        edit(model)
        for weight in model["weightsManifest"][0]["weights"]:
            layer_name, part = weight["name"].split("/")
            number = parts.index(part) - (2 if part in parts[2:] else 0)
            weight["name"] = f"{folders[layer_name]}/vars/{number}"

    return rename


def test_weights_numbered_as_in_a_keras_archive_are_read(tmp_path: Path) -> None:
    for name in ("two", "three"):
        (tmp_path / name).mkdir()
    write(tmp_path / "two", with_batch_norm())
    layers, edit = keras3(with_batch_norm())
    write(tmp_path / "three", layers, numbered(layers, edit))
    expected, imported = (import_model(tmp_path / name, WITH_LABELS).weights for name in ("two", "three"))
    for name, array in expected.items():
        assert np.array_equal(imported[name], array)


@pytest.mark.parametrize("kind", ["Functional", "Sequential"])
def test_keras_3_folders_are_read_like_those_of_keras_2(tmp_path: Path, kind: str) -> None:
    for name in ("two", "three"):
        (tmp_path / name).mkdir()
    write(tmp_path / "two", with_batch_norm())
    layers, edit = keras3(with_batch_norm(), kind)
    write(tmp_path / "three", layers, edit)

    expected, imported = (import_model(tmp_path / name, WITH_LABELS) for name in ("two", "three"))

    assert imported.spec.architecture == expected.spec.architecture
    assert imported.weights.keys() == expected.weights.keys()
    for name, array in expected.weights.items():
        assert np.array_equal(imported.weights[name], array)


def test_the_keras_3_folder_of_the_cases_is_read(shared_cases: Path) -> None:
    folder = shared_cases / "tfjs_keras3_functional"
    imported = import_model(folder, Answers(**{**vars(INPUT), "labels": make_labels(["background", "grey", "white"])}))
    a = imported.spec.architecture
    assert (a.dilations, a.channels, a.classes) == ((1, 2, 4, 8, 4, 2, 1), 5, 3)
    assert (a.activation, a.norm) == ("relu", BatchNorm(eps=1e-3))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda n: n[3]["inbound_nodes"][0]["args"].append(keras_tensor("input")),
            r"'conv3d_1' takes \[\['activation_0', 'input'\]\], expected only 'activation_0'",
        ),
        (lambda n: n[3]["inbound_nodes"][0].update(kwargs={"mask": keras_tensor("input")}), "not a plain chain"),
        (lambda n: n[5]["inbound_nodes"][0].update(args=[keras_tensor("conv3d_1")]), "not a plain chain"),
        (lambda n: n[5]["inbound_nodes"][0].pop("args"), r"not a TF.js layers model \(KeyError: 'args'\)"),
        (lambda n: n[5]["inbound_nodes"].append(n[5]["inbound_nodes"][0]), "not a plain chain"),
        (lambda n: n[1]["config"].update(activation={"class_name": "mine"}), "unknown activation .*mine|mixed|second"),
    ],
)
def test_a_keras_3_graph_that_is_no_chain_is_refused(tmp_path: Path, change: Edit, says: str) -> None:
    layers, edit = keras3(network())
    change(layers)
    write(tmp_path, layers, edit)
    with pytest.raises(SpecError, match=says):
        import_model(tmp_path, WITH_LABELS)


def test_the_weights_of_another_keras_3_model_are_refused(tmp_path: Path) -> None:
    layers, edit = keras3(network(), "Sequential")

    def rename(model: Model) -> None:
        edit(model)
        model["modelTopology"]["model_config"]["config"]["name"] = "other"

    write(tmp_path, layers, rename)
    with pytest.raises(SpecError, match="weight 'conv3d_0/kernel' is missing"):
        import_model(tmp_path, WITH_LABELS)


@pytest.mark.parametrize(("kind", "config"), [("ReLU", {"max_value": None, "threshold": 0.0}), ("ELU", {"alpha": 1.0})])
def test_an_activation_may_be_a_layer_of_its_name(tmp_path: Path, kind: str, config: Layer) -> None:
    layers = network()
    for i in (2, 4):
        layers[i].update(class_name=kind, config={"name": f"activation_{i // 2 - 1}", **config})
    write(tmp_path, layers)
    assert import_model(tmp_path, WITH_LABELS).spec.architecture.activation == kind.lower()


def test_an_activation_inside_the_convolution_counts(tmp_path: Path) -> None:
    first = conv("a", "input", 4, activation="elu")
    write(tmp_path, [network()[0], first, conv("b", "a", 4, activation="elu"), conv("c", "b", 2, kernel=1)])
    assert import_model(tmp_path, WITH_LABELS).spec.architecture.activation == "elu"


def test_dropout_is_left_out_and_said(tmp_path: Path) -> None:
    layers = network()
    layers.insert(3, layer("Dropout", "activation_0", {"name": "drop", "rate": 0.5}))
    layers[4]["inbound_nodes"] = [[["drop", 0, 0, {}]]]
    write(tmp_path, layers)
    assert any("Dropout" in note for note in import_model(tmp_path, WITH_LABELS).notes)


def test_weights_stored_as_float16_are_widened(tmp_path: Path) -> None:
    def quantize(model: Model) -> None:
        for entry in model["weightsManifest"][0]["weights"]:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
        file = tmp_path / "group1-shard1of1.bin"
        file.write_bytes(np.frombuffer(file.read_bytes(), np.float32).astype(np.float16).tobytes())

    arrays = write(tmp_path, network(), quantize)
    kernel = import_model(tmp_path, WITH_LABELS).weights["classifier.weight"]
    assert np.array_equal(kernel[:, :, 0, 0, 0].T, arrays["output/kernel"][0, 0, 0].astype(np.float16))


def test_a_colour_table_of_another_class_count_is_refused_unless_labels_are_given(tmp_path: Path) -> None:
    write(tmp_path, network())
    (tmp_path / "colormap.json").write_text('{"R": [0], "G": [0], "B": [0], "labels": ["background"]}')
    with pytest.raises(SpecError, match=r"colormap.json has 1 labels, the model has 2 classes; .*--labels"):
        import_model(tmp_path, INPUT)
    assert any("colormap.json" in note for note in import_model(tmp_path, WITH_LABELS).notes)


def test_labels_that_contradict_the_colour_table_are_an_error(tmp_path: Path) -> None:
    write(tmp_path, network())
    (tmp_path / "colormap.json").write_text('{"R": [0, 9], "G": [0, 9], "B": [0, 9], "labels": ["background", "head"]}')
    with pytest.raises(SpecError, match="--labels contradicts the source"):
        import_model(tmp_path, WITH_LABELS)


REFUSED_LAYERS: dict[str, tuple[Edit, str]] = {
    "stride": (lambda n: n[1]["config"].update(strides=[2, 2, 2]), "layer 'conv3d_0': stride 2"),
    "padding": (lambda n: n[1]["config"].update(padding="valid"), "layer 'conv3d_0': padding 'valid'"),
    "groups": (lambda n: n[3]["config"].update(groups=4), "layer 'conv3d_1': groups 4"),
    "mixed dilation": (lambda n: n[1]["config"].update(dilation_rate=[1, 2, 2]), "mixed dilation_rate"),
    "mixed kernel": (lambda n: n[1]["config"].update(kernel_size=[3, 3, 1]), "mixed kernel_size"),
    "kernel": (lambda n: n[1]["config"].update(kernel_size=[5, 5, 5]), r"kernel \(5, 5, 5\)"),
    "channels first": (lambda n: n[1]["config"].update(data_format="channels_first"), "channels_first"),
    "unknown activation": (
        lambda n: [n[i]["config"].update(activation="mish") for i in (2, 4)],
        "unknown activation 'mish' after 'conv3d_0'",
    ),
    "no activation": (lambda n: n[4]["config"].update(activation="linear"), "unknown activation 'linear'"),
    "mixed activations": (lambda n: n[4]["config"].update(activation="elu"), "mixed activations"),
    "softmax": (lambda n: n[5]["config"].update(activation="softmax"), "'softmax' after the classifier"),
    "second activation": (lambda n: n[3]["config"].update(activation="relu"), "a second activation"),
    "mixed widths": (lambda n: n[3]["config"].update(filters=6), "mixed widths"),
    "two inputs": (
        lambda n: n[5].update(inbound_nodes=[[["activation_0", 0, 0, {}], ["activation_1", 0, 0, {}]]]),
        "not a plain chain",
    ),
    "skip": (lambda n: n[5].update(inbound_nodes=[[["activation_0", 0, 0, {}]]]), "not a plain chain"),
    "relu with a maximum": (
        lambda n: n[2].update(class_name="ReLU", config={"name": "activation_0", "max_value": 6}),
        "max_value 6",
    ),
    "elu with another alpha": (
        lambda n: n[2].update(class_name="ELU", config={"name": "activation_0", "alpha": 0.5}),
        "alpha 0.5",
    ),
    "other layer": (lambda n: n[2].update(class_name="LeakyReLU"), "LeakyReLU is not part of a MeshNet"),
    "norm on classifier": (lambda n: n[5]["config"].update(name="output_gn"), "the classifier 'output_gn' has a norm"),
    "input size": (
        lambda n: n[0]["config"].update(batch_input_shape=[None, 95, 256, 256, 1]),
        r"input shape \[None, 95, 256, 256, 1\]",
    ),
    "norm first": (
        lambda n: (
            n.insert(1, layer("BatchNormalization", "input", {"name": "bn"})),
            n[2].update(inbound_nodes=[[["bn", 0, 0, {}]]]),
        ),
        "BatchNormalization comes before any convolution",
    ),
    "norm after activation": (
        lambda n: (
            n.insert(3, layer("BatchNormalization", "activation_0", {"name": "bn"})),
            n[4].update(inbound_nodes=[[["bn", 0, 0, {}]]]),
        ),
        "BatchNormalization does not follow a convolution directly",
    ),
    "norm on one layer": (
        lambda n: (
            n.insert(2, layer("BatchNormalization", "conv3d_0", {"name": "bn"})),
            n[3].update(inbound_nodes=[[["bn", 0, 0, {}]]]),
        ),
        "some layers have norm tensors",
    ),
}


@pytest.mark.parametrize("case", REFUSED_LAYERS)
def test_a_layer_a_meshnet_cannot_have_is_refused_by_name(tmp_path: Path, case: str) -> None:
    change, says = REFUSED_LAYERS[case]
    layers = network()
    change(layers)
    write(tmp_path, layers)
    with pytest.raises(SpecError, match=says):
        import_model(tmp_path, WITH_LABELS)


def test_the_norm_suffix_on_some_layers_only_is_refused(tmp_path: Path) -> None:
    layers = network()
    layers[1]["config"]["name"] = "conv3d_0_gn"
    layers[2]["inbound_nodes"] = [[["conv3d_0_gn", 0, 0, {}]]]
    write(tmp_path, layers)
    with pytest.raises(SpecError, match="mixed norms: 'conv3d_0_gn' and 'conv3d_1' differ"):
        import_model(tmp_path, WITH_LABELS)


REFUSED_FILES: dict[str, tuple[Callable[[Path, Model], object], str]] = {
    "missing shard": (lambda f, m: (f / "group1-shard1of1.bin").unlink(), "group1-shard1of1.bin: missing"),
    "truncated bin": (
        lambda f, m: (f / "group1-shard1of1.bin").write_bytes((f / "group1-shard1of1.bin").read_bytes()[:-4]),
        "truncated",
    ),
    "bin too long": (
        lambda f, m: (f / "group1-shard1of1.bin").write_bytes((f / "group1-shard1of1.bin").read_bytes() + b"1234"),
        "belong to different models",
    ),
    "shard elsewhere": (lambda f, m: m["weightsManifest"][0].update(paths=["../x.bin"]), "outside the model's folder"),
    "integers": (
        lambda f, m: m["weightsManifest"][0]["weights"][0].update(quantization={"dtype": "uint8"}),
        "stored as uint8",
    ),
    "no manifest": (lambda f, m: m.pop("weightsManifest"), "malformed weightsManifest"),
    "renamed weight": (
        lambda f, m: m["weightsManifest"][0]["weights"][0].update(name="other/kernel"),
        "weight 'conv3d_0/kernel' is missing",
    ),
    "no layers": (lambda f, m: m["modelTopology"].pop("model_config"), "not a TF.js layers model"),
}


@pytest.mark.parametrize("case", REFUSED_FILES)
def test_damaged_files_are_refused_by_name(tmp_path: Path, case: str) -> None:
    change, says = REFUSED_FILES[case]
    write(tmp_path, network(), lambda model: change(tmp_path, model))
    with pytest.raises(SpecError, match=says):
        import_model(tmp_path, WITH_LABELS)


def test_a_json_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"layers": "none"}')
    with pytest.raises(SpecError, match=r"neither a TF.js layers model nor"):
        import_model(tmp_path / "model.json", INPUT)
