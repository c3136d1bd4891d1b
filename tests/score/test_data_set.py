"""The scans that models are scored on: found in each kind of folder, with person, acquisition and centre."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshnet.cohort.bids import CohortError
from meshnet.cohort.toy_data import EMPTY_LESION, MISSING_MASK, make_arc
from meshnet.score.data_set import UNNAMED, find_reference_scans, leave_out


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bids")
    make_arc(root, subjects=4)
    return root


def write_participants(root: Path, table: str) -> Path:
    path = root / "persons.tsv"
    path.write_text(table.replace("|", "\t"))
    return path


def test_every_scan_with_a_mask_is_taken_an_empty_one_too(bids: Path) -> None:
    scans, left_out = find_reference_scans(bids)
    assert EMPTY_LESION in {scan.subject for scan in scans}
    assert [e.reason for e in left_out if MISSING_MASK in e.name] == ["no lesion mask under derivatives/lesion_masks"]
    assert {scan.acquisition for scan in scans} == {"spc3p2", "spc3", "tse3"}
    assert {scan.contrast for scan in scans} == {"T2w"}
    assert {scan.centre for scan in scans} == {UNNAMED}
    only, _ = find_reference_scans(bids, acquisitions=["tse3"])
    assert len(only) == 1


def test_a_prepared_folder_names_the_same_scans(prepared: Path) -> None:
    scans, left_out = find_reference_scans(prepared)
    assert len(scans) == 7
    assert len({scan.subject for scan in scans}) == 6
    assert all(scan.image.is_file() and scan.mask.is_file() and scan.contrast == "T2w" for scan in scans)
    assert left_out == []


def test_a_folder_of_pairs_is_taken_too(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "a_mask.nii.gz", "b.nii.gz"):
        (tmp_path / name).touch()
    scans, left_out = find_reference_scans(tmp_path)
    assert [(s.name, s.subject, s.contrast) for s in scans] == [("a", "a", "")]
    assert [e.name for e in left_out] == ["b"]


def test_centres_come_from_the_table_of_participants(bids: Path, tmp_path: Path) -> None:
    table = write_participants(tmp_path, "participant_id|age|site\nsub-M2000|60|north\nsub-M2001|70|n/a\n")
    scans, _ = find_reference_scans(bids, participants=table)
    centres = {scan.subject: scan.centre for scan in scans}
    assert (centres["M2000"], centres["M2001"], centres["M2002"]) == ("north", UNNAMED, UNNAMED)
    by_age, _ = find_reference_scans(bids, participants=table, centre_column="age")
    assert {s.centre for s in by_age if s.subject == "M2001"} == {"70"}


def test_listed_persons_are_left_out_with_all_their_scans(bids: Path, tmp_path: Path) -> None:
    scans, _ = find_reference_scans(bids)
    listed = tmp_path / "trained.txt"
    listed.write_text("# trained on\nsub-M2002\nM2001  # too\nelsewhere\n")
    kept, out = leave_out(scans, listed)
    assert {e.name.split("_")[0] for e in out} == {"sub-M2001", "sub-M2002"}
    assert len(out) == 3  # M2002 has two sessions
    assert len(kept) == len(scans) - 3


def test_each_mistake_is_named(bids: Path, tmp_path: Path) -> None:
    scans, _ = find_reference_scans(bids)
    listed = tmp_path / "list.txt"
    listed.write_text("sub-typo\n")
    with pytest.raises(CohortError, match=r"none of its 1 ids is in the data; expected ids such as sub-M2000"):
        leave_out(scans, listed)
    listed.write_text("\n".join(s.subject for s in scans))
    with pytest.raises(CohortError, match="names all 7 persons of the data"):
        leave_out(scans, listed)
    with pytest.raises(CohortError, match=r"--leave-out .*none\.txt: cannot be read"):
        leave_out(scans, tmp_path / "none.txt")
    with pytest.raises(CohortError, match=r"--data .*none: no such folder"):
        find_reference_scans(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CohortError, match=r"neither index\.csv of meshnet-prepare, nor sub-"):
        find_reference_scans(tmp_path / "empty")
    with pytest.raises(CohortError, match=r"no sub-\*/\[ses-\*/\]anat/\*_FLAIR\.nii\.gz"):
        find_reference_scans(bids, contrasts=["FLAIR"])
    with pytest.raises(CohortError, match=r"no scan with a reference mask .*acquisition"):
        find_reference_scans(bids, acquisitions=["none"])
    with pytest.raises(CohortError, match=r"--centre-column site: .*participants\.tsv: no such file"):
        find_reference_scans(bids, centre_column="site")
    table = write_participants(tmp_path, "participant_id|age\nsub-M2000|60\n")
    with pytest.raises(CohortError, match="has no such column; expected one of participant_id, age"):
        find_reference_scans(bids, participants=table, centre_column="site")
    with pytest.raises(CohortError, match="no column participant_id"):
        find_reference_scans(bids, participants=write_participants(tmp_path, "id|site\n1|a\n"))
