"""The contrast of a scan as its file name or its header says it; the page has the same rule (volume/contrast.ts)."""

from __future__ import annotations

import re
from pathlib import Path

from meshnet.scan.scan_paths import stem_of

#: Contrast -> words that name it, in lower case: BIDS suffixes, the scanners' terms and common short forms.
_WORDS = {
    "T1w": "t1w t1 t1c t1ce t1gd t1n inplanet1 fspgr bravo",
    "T2w": "t2w t2 inplanet2",
    "FLAIR": "flair t2f tirm",
    "PDw": "pdw pd",
    "PDT2": "pdt2",
    "T2star": "t2star",
    "T2starw": "t2starw",
    "T1map": "t1map r1map",
    "T2map": "t2map r2map",
    "T2starmap": "t2starmap r2starmap",
    "UNIT1": "unit1",
    "MP2RAGE": "mp2rage",
    "MTR": "mtr mtrmap mtsat",
    "QSM": "qsm chimap",
    "STIR": "stir",
    "swi": "swi",
    "minIP": "minip mip",
    "angio": "angio tof mra",
    "bold": "bold fmri sbref",
    "dwi": "dwi dti diff diffusion",
    "ADC": "adc eadc",
    "trace": "trace tracew",
    "asl": "asl pcasl pasl m0scan",
    "CBF": "cbf",
    "CBV": "cbv",
    "MTT": "mtt",
    "TTP": "ttp",
    "Tmax": "tmax",
    "perfusion": "perfusion perf dsc dce",
    "phase": "phase phasediff",
    "magnitude": "magnitude",
    "fieldmap": "fieldmap",
    "epi": "epi ep2d",
    "localizer": "localizer localiser scout survey",
    "CT": "ct cta ctp ncct",
    "PET": "pet",
}
_BY_WORD = {word: contrast for contrast, words in _WORDS.items() for word in words.split()}

#: Short words that name a contrast only at the end of a file's name.
_BY_LAST_WORD = {"fa": "FA", "md": "MD", "ph": "phase", "real": "real", "imaginary": "imag"}

#: Words after which the name of another scan's space follows: "T2w_space-T1w", "T2w_to_T1w".
_BEFORE_SPACE = {"space", "to", "in"}


def guess_modality(file_name: str, description: str) -> str | None:
    """The contrast that a file's name says (its last words first), else the header's description; None for neither."""
    name = stem_of(Path(file_name)).lower()
    part = re.search(r"(?:^|_)part-(phase|real|imag)", name)
    if part is not None:
        return part[1]
    words = _words_of(name)
    words = [word for before, word in zip(["", *words], words, strict=False) if before not in _BEFORE_SPACE]
    if words and words[-1] in _BY_LAST_WORD:
        return _BY_LAST_WORD[words[-1]]
    of_words = (_contrast_of(word) for word in [*words[::-1], *_words_of(description)])
    return next((contrast for contrast in of_words if contrast is not None), None)


def _words_of(text: str) -> list[str]:
    """Words of letters and digits in lower case; "T2*" is "t2star"."""
    return [word for word in re.split(r"[^a-z0-9]+", text.lower().replace("t2*", "t2star")) if word]


def _contrast_of(word: str) -> str | None:
    """The contrast of a word; numbers and "map" at its end don't count, as in "ADCmap" and "T2w2"."""
    known = _BY_WORD.get(word) or _BY_WORD.get(re.sub(r"(maps?)?[0-9]*$", "", word))
    if known is not None:
        return known
    if "mprage" in word:
        return "T1w"
    if "flair" in word:
        return "FLAIR"
    return "dwi" if re.fullmatch(r"b[0-9]{3,4}", word) else None
