"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.gpu.parts import Outcome

Row = Mapping[str, Any]

LEGEND = """\
Operations are two per multiply-add of the direct convolution. Bytes are the least that a layer moves: its input once
and its output once. `of peak` and `of copy` are shares of the multiply-add loop and of the copy in *Peaks*, which ran
on the same device in this report. `least` is the time in which both would be at 100 %. Times of layers are by the
device's clock where it has one, of the last of several runs; `run` is the fastest run by the wall clock, labels read
back. `¹`: there was time for one run only, compiling included.
"""


def markdown(machine: Row, outcomes: Sequence[Outcome]) -> str:
    """The whole report: machine, state of the parts, and a section for each."""
    lines = ["# GPU report", "", *_machine(machine), "", "## Parts", ""]
    lines += _table(
        ("part", "result", "seconds"),
        [
            (outcome.name, outcome.status if not outcome.why else f"{outcome.status}: {outcome.why}", outcome.seconds)
            for outcome in outcomes
        ],
    )
    for outcome in outcomes:
        if outcome.rows:
            lines += ["", *_SECTIONS[outcome.name](outcome.rows)]
    return "\n".join(lines) + "\n"


def _machine(machine: Row) -> list[str]:
    gpu = machine["gpu"] or machine["webgpu"] or "none"
    software = "**No GPU here: WebGPU ran in software, on small volumes. These figures say nothing about a GPU.**"
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items() if value)
    return [
        *([software, ""] if machine["software"] and machine["gpu"] is None else []),
        f"- {machine['date']}, commit {machine['commit'] or 'unknown'}",
        f"- GPU: {gpu}; driver {machine['driver'] or 'unknown'}; WebGPU adapter: {machine['webgpu'] or 'none'}",
        f"- {machine['cpu']}, {machine['cores']} cores, load {machine['load']}; {machine['system']}",
        f"- Volumes of {machine['size']}³ voxels; training steps of the baselines at {machine['baseline_size']}³",
        f"- {versions}",
    ]


def _adapter(rows: Sequence[Row]) -> list[str]:
    (row,) = rows
    limits = row.get("limits", {})
    return [
        "## Peaks",
        "",
        f"By the {row['clock']}'s clock.",
        "",
        *_table(
            ("measured", "rate"),
            [
                ("multiply-add loop, float32", _peak(row.get("flops"), "GFLOP/s")),
                ("multiply-add loop, float16", _peak(row.get("flopsF16"), "GFLOP/s")),
                ("copy, bytes read and written", _peak(row.get("bytesPerS"), "GB/s")),
            ],
        ),
        "",
        f"Features: {', '.join(row.get('features', []))}.",
        "",
        f"Limits of the adapter (the engine asks for none beyond the defaults): "
        f"{', '.join(f'{name} {value:,}' for name, value in limits.items())}.",
    ]


def _engine(rows: Sequence[Row]) -> list[str]:
    lines = ["## The WGSL engine", "", LEGEND]
    head = (
        "network",
        "storage",
        "run, s",
        "GFLOP/s",
        "of peak",
        "GB/s",
        "of copy",
        "least, s",
        "memory, MB",
        "equal labels",
        "Dice",
    )
    table = []
    for row in rows:
        if "error" in row:
            table.append((row["model"], row["storage"], row["error"], *[""] * 8))
            continue
        whole = row["whole"]
        table.append(
            (
                row["model"],
                row["storage"],
                _number(row["seconds"]) + ("" if row["runs"] > 1 else "¹"),
                _number(whole["gflops"]),
                _share(whole["share_of_flops"]),
                _number(whole["gbytes_per_s"]),
                _share(whole["share_of_bytes"]),
                _number(whole.get("least_ms"), 1e-3),
                _number(row["peak_bytes"], 1e-6),
                _percent(row.get("agreement")),
                _number(row.get("dice_min"), digits=6),
            )
        )
    lines += _table(head, table)
    for row in rows:
        if "layers" in row:
            lines += ["", f"### {row['model']}, {row['storage']}", "", *_layers(row["layers"])]
    return lines


def _layers(rows: Sequence[Row]) -> list[str]:
    return _table(
        ("layer", "ms", "GFLOP/s", "of peak", "GB/s", "of copy", "least, ms", "bound by"),
        [
            (
                row["layer"],
                _number(row["ms"]),
                _number(row["gflops"]),
                _share(row["share_of_flops"]),
                _number(row["gbytes_per_s"]),
                _share(row["share_of_bytes"]),
                _number(row.get("least_ms")),
                row.get("bound", ""),
            )
            for row in rows
        ],
    )


def _peer(title: str) -> Callable[[Sequence[Row]], list[str]]:
    def section(rows: Sequence[Row]) -> list[str]:
        table = [
            (
                row["model"],
                row.get("precision", ""),
                row.get("error") or _number(row["seconds"]),
                _number(row.get("first_s")),
                _number(row.get("peak_bytes"), 1e-6),
                _percent(row.get("agreement")),
                _number(row.get("dice_min"), digits=6),
            )
            for row in rows
        ]
        head = ("network", "precision", "run, s", "first run, s", "memory, MB", "equal labels", "Dice")
        return [f"## {title}", "", *_table(head, table)]

    return section


def _training(rows: Sequence[Row]) -> list[str]:
    table = [
        (
            row["network"],
            f"{row['size']}³",
            "recomputed" if row["checkpointed"] else "kept",
            row.get("error") or _number(row["seconds"]),
            _number(row.get("gflops")),
            _number(row.get("peak_bytes"), 1e-6),
        )
        for row in rows
    ]
    head = ("network", "volume", "activations", "step, s", "GFLOP/s", "memory, MB")
    return ["## Training steps", "", "Batch 1, channels_last_3d, float16 autocast on a GPU.", "", *_table(head, table)]


def _tests(rows: Sequence[Row]) -> list[str]:
    (row,) = rows
    counted = ", ".join(f"{row[what]} {what}" for what in ("passed", "failed", "skipped", "errors") if what in row)
    output = str(row["output"]).strip().splitlines()
    return [
        "## Tests marked gpu",
        "",
        f"{counted or 'no result'}: {', '.join(row['files'])}",
        "",
        "```",
        *output[-15:],
        "```",
    ]


_SECTIONS: dict[str, Callable[[Sequence[Row]], list[str]]] = {
    "adapter": _adapter,
    "engine": _engine,
    "pytorch": _peer("PyTorch: cuDNN, channels_last_3d, TF32 off"),
    "onnxruntime": _peer("onnxruntime, CUDA provider"),
    "training": _training,
    "tests": _tests,
}


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]


def _peak(value: object, unit: str) -> str:
    return f"{_number(value, 1e-9)} {unit}" if isinstance(value, float | int) else str(value or "not measured")


def _number(value: object, scale: float = 1.0, digits: int = 3) -> str:
    if not isinstance(value, float | int):
        return "–"
    scaled = value * scale
    return f"{scaled:,.0f}" if abs(scaled) >= 10**digits else f"{scaled:.{digits}g}"


def _share(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, float | int) else "–"


def _percent(value: object) -> str:
    """A percentage that shows one wrong voxel in a million and never rounds up to 100."""
    if not isinstance(value, float | int):
        return "–"
    return "100 %" if value == 1 else f"{min(100 * value, 99.9999):.4f} %"
