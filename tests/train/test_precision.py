"""The precision that a run has, by device and by what the CPU computes fast."""

from __future__ import annotations

import pytest
import torch

from meshnet.train import fabric
from meshnet.train.fabric import make_fabric, precision_of
from meshnet.train.settings import TrainerConfig


@pytest.mark.parametrize(
    ("accelerator", "wanted", "fast_bfloat16", "used"),
    [
        ("cpu", "auto", True, "32-true"),
        ("cpu", "bf16-mixed", True, "bf16-mixed"),
        ("cpu", "bf16-mixed", False, "32-true"),
        ("cpu", "bf16-true", False, "32-true"),
        ("cpu", "16-mixed", False, "16-mixed"),
        ("cuda", "auto", False, "16-mixed"),
        ("cuda", "bf16-mixed", False, "bf16-mixed"),
    ],
)
def test_bfloat16_becomes_float32_where_the_cpu_computes_it_in_software(
    accelerator: str, wanted: str, fast_bfloat16: bool, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fabric, "has_fast_bfloat16", lambda: fast_bfloat16)
    assert precision_of(TrainerConfig(accelerator=accelerator, precision=wanted)) == used


def test_the_change_of_precision_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fabric, "has_fast_bfloat16", lambda: False)
    made = make_fabric(TrainerConfig(accelerator="cpu", precision="bf16-mixed"))
    assert made.strategy.precision.precision == "32-true"
    assert capsys.readouterr().err == (
        "trainer.precision=bf16-mixed: this CPU computes bfloat16 in software, more than ten times slower; "
        "training in 32-true\n"
    )
    make_fabric(TrainerConfig(accelerator="cpu", precision="auto"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("capability", "fast"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_the_cpus_vector_instructions_decide(capability: str, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert fabric.has_fast_bfloat16() is fast
