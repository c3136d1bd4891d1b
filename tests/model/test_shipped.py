"""Shipped and imported models are found by their ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.shipped import default_models, find_model, known_models
from meshnet.model.spec import SpecError
from tests.conftest import REPO
from tests.helpers.export_models import small_model


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two models beside other things, in place of those that ship."""
    for name in ("one", "two"):
        save_checkpoint(tmp_path / "shipped" / name, *small_model(name))
    (tmp_path / "shipped" / "notes").mkdir()
    monkeypatch.setattr("meshnet.model.shipped.default_models", lambda: [tmp_path / "shipped", tmp_path / "gone"])
    return tmp_path / "shipped"


def test_the_models_of_this_checkout_have_their_ids_as_names() -> None:
    assert default_models()[0] == REPO / "models"
    assert find_model(Path("t2-lesion")) == REPO / "models" / "t2-lesion"
    for model_id, folder in known_models().items():
        assert load_checkpoint(folder)[0].id == model_id


def test_a_plain_name_is_a_known_model_and_a_folder_of_that_name_comes_first(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_model(Path("one")) == shipped / "one"
    (tmp_path / "one").mkdir()
    assert find_model(Path("one")) == shipped / "one", "a folder of results hides the model"
    (tmp_path / "one" / "model.json").touch()
    assert find_model(Path("one")) == Path("one")
    assert find_model(Path("one/model.json")) == Path("one")


def test_an_unknown_name_is_refused_with_the_known_ones(shipped: Path) -> None:
    with pytest.raises(SpecError, match=r"three: no such folder and no known model; .* ids: one, two"):
        find_model(Path("three"))
    with pytest.raises(SpecError, match="notes: no such folder and no known model"):
        find_model(Path("notes"))


def test_a_longer_path_is_left_to_the_reader_of_models(shipped: Path) -> None:
    assert find_model(shipped / "three") == shipped / "three"
    with pytest.raises(SpecError, match="no such folder; expected a model folder"):
        load_checkpoint(find_model(shipped / "three"))
