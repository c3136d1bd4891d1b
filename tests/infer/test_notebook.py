"""docs/notebook.ipynb runs from top to bottom, in a kernel of this environment, and shows scan and labels."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient

from meshnet.infer.sidecar import read_sidecar
from tests.helpers.bright_model import write_bright_model
from tests.helpers.heads import write_head
from tests.helpers.paths import REPO

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.mark.filterwarnings("ignore")  # of Jupyter's packages
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(REPO / "docs" / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    write_bright_model(tmp_path / "bright", threshold=0.5)
    write_head(tmp_path / "head.nii")
    parameters.source = 'scan, model = "head.nii", "bright"'
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.create_kernel_manager()
    # This interpreter, whatever kernels are registered for the user.
    client.km._kernel_spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])
    client.execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    assert " mL at (" in printed
    assert "0.8 to 1.0: " in printed
    assert any(WIDGET in output.get("data", {}) for output in outputs), "show() gave no viewer"
    sidecar = read_sidecar(tmp_path / "lesion.json")
    assert sidecar is not None
    assert sidecar.volumes[1].voxels > 100
    assert "'lesion'" in str(outputs[0])
