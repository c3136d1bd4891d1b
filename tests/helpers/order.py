"""The order in which test files are handed to workers."""

from __future__ import annotations

#: Test files that take longest, below `tests/`. Workers start with them, so that none is left with a long file at the
#: end while the others have nothing to do.
LONGEST_FIRST = (
    "train/test_training_chain.py",
    "browser/test_device_faults.py",
    "browser/test_site_real.py",
    "browser/test_site.py",
    "browser/test_engines_real.py",
    "browser/test_engines.py",
    "engine/test_deno.py",
    "browser/test_kiosk.py",
    "browser/test_offline.py",
    "browser/test_exports.py",
    "browser/test_webgl2.py",
    "browser/test_selftest.py",
    "export/test_published.py",
    "browser/test_site_models.py",
    "browser/test_site_results.py",
    "browser/test_site_meanwhile.py",
    "browser/test_site_refusals.py",
    "browser/test_site_dicom.py",
)
