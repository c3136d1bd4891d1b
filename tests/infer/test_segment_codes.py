"""A label's name becomes SNOMED CT codes that pydicom's dictionaries know under the same meaning."""

from __future__ import annotations

import json

import pytest
from pydicom.sr._concepts_dict import concepts

from meshnet.infer.segment_codes import TABLE, codes_of
from meshnet.model.shipped import known_models
from meshnet.model.spec import Label, read_spec

#: In SNOMED CT as "Infarct (morphologic abnormality)", but in none of DICOM's context groups.
NOT_IN_DICOM = {"55641003": "Infarct"}


def all_codes() -> list[tuple[str, str]]:
    table = json.loads(TABLE.read_text())
    pairs = [*table["categories"].values(), table["brain"], table["fallback"]["type"]]
    return [(value, meaning) for value, meaning in [*pairs, *(row["type"] for row in table["labels"])]]


def meanings() -> dict[str, set[str]]:
    """Meanings of each SNOMED CT code in pydicom's dictionary."""
    known: dict[str, set[str]] = {}
    for values in concepts["SCT"].values():
        for value, (meaning, _) in values.items():
            known.setdefault(value, set()).add(meaning)
    return known


@pytest.mark.parametrize(("value", "meaning"), sorted(set(all_codes())))
def test_every_code_means_what_the_table_says(value: str, meaning: str) -> None:
    if value in NOT_IN_DICOM:
        assert value not in meanings()
        assert meaning == NOT_IN_DICOM[value]
    else:
        assert meaning in meanings()[value]


def code(name: str, task: str = "tissue") -> tuple[str, str, str | None]:
    spec = read_spec(known_models()["tissue"] / "model.json").model_copy(update={"task": task})
    found = codes_of(Label(index=1, name=name, color=(1, 2, 3)), spec)
    return found.category[1], found.type[1], found.region and found.region[1]


def test_names_are_compared_without_case_signs_and_sides() -> None:
    assert code("White Matter") == ("Tissue", "White Matter", None)
    assert code("Left-Thalamus-Proper*") == ("Anatomical Structure", "Thalamus", None)
    assert code("ctx-rh-precuneus") == ("Anatomical Structure", "Cerebral cortex", None)
    assert code("CC_Mid_Anterior") == ("Anatomical Structure", "Corpus callosum", None)
    assert code("4th-Ventricle") == ("Anatomical Structure", "Fourth Ventricle", None)


def test_a_lesion_is_an_infarct_only_of_a_model_of_stroke() -> None:
    assert code("lesion", "brain tissue and stroke lesion") == (
        "Morphologically Abnormal Structure",
        "Infarct",
        "Brain",
    )
    assert code("lesion", "MS lesion") == ("Morphologically Abnormal Structure", "Lesion", "Brain")


def test_a_label_without_an_entry_is_tissue() -> None:
    assert code("choroid plexus") == ("Tissue", "Tissue", None)


@pytest.mark.parametrize("model", ["t2-lesion", "tissue"])
def test_every_label_of_the_shipped_models_has_an_entry(model: str) -> None:
    spec = read_spec(known_models()[model] / "model.json")
    types = [codes_of(label, spec).type[1] for label in spec.labels[1:]]
    assert types == ["Cerebrospinal Fluid", "Gray Matter", "White Matter", "Infarct"][: len(types)]
