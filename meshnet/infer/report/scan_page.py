"""The report on one result as one HTML file. `static/src/page/report/scan-page.ts` writes the same text."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from meshnet.infer.report.document import RESEARCH, Cell, document, number, table, words
from meshnet.infer.report.facts import Extent, Report
from meshnet.infer.report.numbers import fixed, fixed_or_none, safe, spoken_ml
from meshnet.infer.report.pictures import MOST_PICTURED, Picture, Pictures
from meshnet.infer.report.plots import histogram
from meshnet.infer.report.table import reports_csv

#: Lesions in the table of the page; the CSV has all.
MOST_LISTED = 50

#: Length of the bar in a picture.
BAR_MM = 50

_SIDES = {"axial": ("L", "R"), "coronal": ("L", "R"), "sagittal": ("A", "P")}
_AXES = {"axial": "z", "coronal": "y", "sagittal": "x"}


def scan_page(report: Report, pictures: Pictures | None, *, summary: str = "") -> str:
    """The file's text. pictures: None for a report without. summary: address of the page of all scans, if there is one.

    The facts lie in it as JSON (`<script id="facts">`).
    """
    made = report.made
    frame = "" if made.source.frame is None else f", frame {made.source.frame}"
    body = [
        "<header>",
        *([f'<p class="screen"><a href="{safe(summary)}">All scans</a></p>'] if summary else []),
        f"<h1>{safe(made.source.name + frame)}</h1>",
        f'<p class="soft">Segmented by the model {safe(made.model.name)}, MeshNet {safe(made.software.version)}, '
        f"{safe(made.created)}</p>",
        f'<p class="research">{RESEARCH}</p>',
        "</header>",
        *_key_figures(report),
        *_notes(report),
        "<h2>Labels</h2>",
        _label_table(report),
        *_lesions(report),
        *(_pictures(report, pictures) if pictures is not None else []),
        *_histogram(report),
        "<h2>How this was made</h2>",
        *_provenance(report),
        *_method(report),
    ]
    return document(f"Report: {made.source.name}", body, data=report.model_dump_json(by_alias=True))


def _key_figures(report: Report) -> list[str]:
    """The main label's volume, the number of lesions, the share of the brain."""
    figures = [(spoken_ml(label.volume_ml), label.name) for label in report.labels if label.kind != "context"][:3]
    if any(label.kind == "lesion" for label in report.labels):
        count = len(report.lesions)
        figures.append((str(count), "separate lesion" if count == 1 else "separate lesions"))
    if report.lesions:
        figures.append(
            (f"{fixed(max(one.longest_diameter_mm or 0 for one in report.lesions), 1)} mm", "longest diameter")
        )
    if report.brain is not None:
        figures.append(
            (f"{fixed(report.brain.lesion_percent, 2)} %", f"of the brain ({spoken_ml(report.brain.brain_ml)})")
        )
    items = "".join(f"<li><b>{value}</b>{safe(name)}</li>" for value, name in figures)
    return [f'<ul class="keys">{items}</ul>']


def _notes(report: Report) -> list[str]:
    notes = report.made.notes
    if not notes:
        return ["<h2>Notes</h2>", "<p>None on the scan, none on the result.</p>"]
    items = "".join(f"<li>{safe(note.text)} <code>[{safe(note.code)}]</code></li>" for note in notes)
    return ["<h2>Notes</h2>", f'<ul class="notes">{items}</ul>']


def _label_table(report: Report) -> str:
    head = [("Label", True), ("Volume, mL", False), ("Voxels", False), *_EXTENT_HEAD]
    rows = [
        [
            Cell(
                f'<span class="swatch" style="background:{_rgb(label.color)}"></span>{safe(label.name)}',
                is_text=True,
            ),
            number(fixed(label.volume_ml, 2)),
            number(str(label.voxels)),
            *_extent_cells(label, 2),
        ]
        for label in report.labels
    ]
    if (brain := report.brain) is not None:
        rest = [number(fixed(100, 2)), *(Cell("") for _ in range(5))]
        rows.append([words("brain (tissue, fluid and lesion)"), number(fixed(brain.brain_ml, 2)), Cell(""), *rest])
    return table(head, rows)


_EXTENT_HEAD = (
    *(
        ("Of the brain, %", False),
        ("Longest diameter, mm", False),
        ("x, mm", False),
        ("y, mm", False),
        ("z, mm", False),
    ),
    ("Side", True),
)


def _extent_cells(extent: Extent, decimals: int) -> list[Cell]:
    """decimals: of the share of the brain."""
    centre = extent.centre_ras_mm or (None, None, None)
    return [
        number(fixed_or_none(extent.percent_of_brain, decimals)),
        number(fixed_or_none(extent.longest_diameter_mm, 1)),
        *(number(fixed_or_none(mm, 1)) for mm in centre),
        words(extent.side or "–"),
    ]


def _lesions(report: Report) -> list[str]:
    if not report.lesions:
        return []
    count = len(report.lesions)
    shown = report.lesions[:MOST_LISTED]
    several = len({one.name for one in report.lesions}) > 1
    with_probability = report.histogram is not None
    head = [("Lesion", True), *([("Label", True)] if several else []), ("Volume, mL", False), ("Voxels", False)]
    head += [*_EXTENT_HEAD, *([("Mean probability", False)] if with_probability else [])]
    rows = [
        [
            words(str(one.number)),
            *([words(one.name)] if several else []),
            number(fixed(one.volume_ml, 3)),
            number(str(one.voxels)),
            *_extent_cells(one, 3),
            *([number(fixed_or_none(one.mean_probability, 2))] if with_probability else []),
        ]
        for one in shown
    ]
    left_out = f"<p>The largest {len(shown)} of {count} lesions; the CSV at the end has all.</p>"
    return ["<h2>Lesions</h2>", *([left_out] if count > len(shown) else []), table(head, rows)]


def _pictures(report: Report, pictures: Pictures) -> list[str]:
    body: list[str] = []
    if pictures.lesions:
        count = len(report.lesions)
        which = "each lesion" if count <= MOST_PICTURED else f"the largest {MOST_PICTURED} of {count} lesions"
        body += [
            "<h2>Slices through the lesions</h2>",
            f'<p class="soft">Three slices through the centre of {which}, which the yellow ticks mark. L and R are the '
            f"patient’s left and right, A and P front and back; the bar is {BAR_MM} mm long.</p>",
        ]
    for lesion, slices in zip(report.lesions, pictures.lesions, strict=False):
        body += [
            '<section class="lesion">',
            f"<h3>Lesion {lesion.number}: {spoken_ml(lesion.volume_ml)}, "
            f"{fixed(lesion.longest_diameter_mm or 0, 1)} mm, {lesion.side}</h3>",
            f'<div class="planes">{"".join(_figure(one, pictures.mm_per_pixel) for one in slices)}</div>',
            "</section>",
        ]
    body += [
        "<h2>Mosaic</h2>",
        '<p class="soft">Axial slices, the lowest first, the patient’s left on the left. Labels are outlined in the '
        "colours of the table.</p>",
        f'<div class="mosaic">{"".join(_figure(one, pictures.mm_per_pixel) for one in pictures.mosaic)}</div>',
    ]
    return body


def _figure(picture: Picture, mm_per_pixel: float) -> str:
    """A slice with its place, its sides, and in a slice through a lesion ticks and a bar."""
    left, right = _SIDES[picture.plane]
    name = f"{picture.plane}, {_AXES[picture.plane]} = {fixed(picture.position_mm, 0)} mm"
    width, height = picture.width, picture.height
    marks, caption, grow = "", f"{_AXES[picture.plane]} {fixed(picture.position_mm, 0)}", ""
    if picture.at is not None:
        across, down = (fixed(100 * (n + 0.5) / size, 2) for n, size in zip(picture.at, (width, height), strict=True))
        bar = fixed(100 * BAR_MM / (width * mm_per_pixel), 2)
        marks = (
            f'<i class="across" style="left:{across}%"></i><i class="down" style="top:{down}%"></i>'
            f'<i class="bar" style="width:{bar}%"></i>'
        )
        caption, grow = name, f' style="flex:{width}"'
    return (
        f'<figure{grow}><img src="data:image/png;base64,{picture.png}" width="{width}" height="{height}" '
        f'alt="{name}"><figcaption>{caption}</figcaption><span class="from">{left}</span>'
        f'<span class="to">{right}</span>{marks}</figure>'
    )


def _histogram(report: Report) -> list[str]:
    if report.histogram is None:
        return []
    name = safe(report.histogram.name)
    return [
        "<h2>Probabilities</h2>",
        f'<p class="soft">Voxels labelled {name} by the model’s probability of {name}.</p>',
        histogram(report.histogram),
    ]


def _provenance(report: Report) -> list[str]:
    made, grid = report.made, report.geometry
    mm = " × ".join(fixed(size, 2) for size in grid.voxel_size_mm)
    shape = " × ".join(str(n) for n in grid.shape)
    frame = "" if made.source.frame is None else f", frame {made.source.frame}"
    facts = [
        ("Scan", safe(made.source.name + frame)),
        ("SHA-256 of the scan", f"<code>{made.source.sha256 or 'not known'}</code>"),
        ("Grid", f"{shape} voxels of {mm} mm, axes {grid.axes}, oblique by {fixed(grid.oblique_deg, 1)}°"),
        ("Model", f"{safe(made.model.name)} ({safe(made.model.id)})"),
        ("SHA-256 of the weights", f"<code>{made.model.sha256}</code>"),
        ("Engine", f"{safe(made.engine.backend)}, {safe(made.engine.device)}"),
        ("Software", f"MeshNet {safe(made.software.version)}, {made.software.interface}"),
        ("Date", safe(made.created)),
        ("Settings", safe("; ".join(_settings(report)))),
        ("Edited", safe(", ".join(made.edits)) if made.edits else "not edited"),
        ("Table", _csv_link(report)),
    ]
    return ["<dl>", *(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts), "</dl>"]


def _settings(report: Report) -> list[str]:
    settings = report.made.settings
    threshold = settings.threshold
    return [
        "the most probable label"
        if threshold is None
        else f"threshold {fixed(threshold, 2)} on the lesion’s probability",
        *(["averaged with the mirror image"] if settings.flip else []),
        *(
            []
            if settings.remove_below_ml is None
            else [f"components below {fixed(settings.remove_below_ml, 3)} mL removed"]
        ),
        *(["pieces outside the brain kept"] if settings.keep_outside_brain else []),
    ]


def _csv_link(report: Report) -> str:
    stem = report.made.source.name.split(".")[0] or "scan"
    content = base64.b64encode(reports_csv([report]).encode()).decode()
    return f'<a download="{safe(stem)}_report.csv" href="data:text/csv;base64,{content}">all numbers as CSV</a>'


def _method(report: Report) -> list[str]:
    return [
        f'<p class="soft">{" ".join(_method_sentences(report))}</p>',
    ]


def _method_sentences(report: Report) -> Sequence[str]:
    where = "the middle of the labelled brain" if report.midline.of_brain else "the scanner’s x = 0"
    return (
        "Volumes, diameters and places are measured on the scan’s own grid.",
        "A lesion is a set of voxels that share faces.",
        "The longest diameter is the distance between the two corners of its voxels that are farthest apart.",
        "x, y and z are the place in scanner coordinates (right, anterior, superior) of the voxel nearest to the mean "
        "position.",
        f"Side: of that place against x = {fixed(report.midline.x_mm, 1)} mm, {where}; up to 5 mm from it is midline.",
        "Pictures show the scan as the model saw it, resampled to its grid.",
    )


def _rgb(color: tuple[int, int, int]) -> str:
    return f"rgb({color[0]}, {color[1]}, {color[2]})"
