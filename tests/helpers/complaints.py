"""The scans of ../shared/cases that are read (its README has complaint and right answer)."""

from __future__ import annotations

#: Files that are read -> the codes of their notes.
READ: dict[str, list[str]] = {
    "reference.nii.gz": [],
    "one_voxel_minus_32768.nii.gz": ["outliers-clipped"],
    "head_at_top_of_340mm.nii.gz": ["cube-moved"],
    "units_micron.nii.gz": ["units-micron"],
    "no_forms.nii.gz": ["no-forms"],
    "sform1_mirrors_qform2.nii.gz": ["forms-disagree"],
    "qform_w2_minus_3.8e-7.nii.gz": [],
    "sform_zero_qform_ok.nii.gz": ["sform-unusable"],
    "single_file_magic_ni1.nii": ["magic-of-a-pair"],
    "dim4_is_0.nii.gz": ["dim-zero"],
    "nan_background.nii.gz": ["nan-read-as-zero"],
}
