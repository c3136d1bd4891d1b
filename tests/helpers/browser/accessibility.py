"""axe in the page: no violation in light or in dark."""

from __future__ import annotations

from typing import Literal

from playwright.sync_api import Page

from tests.helpers.paths import REPO

AXE = REPO / "static" / "node_modules" / "axe-core" / "axe.min.js"


def assert_accessible(page: Page, state: str) -> None:
    """`state` names what the page shows, for the message."""
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate(
            """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
              .map(({id, help, nodes}) => [id, help, ...nodes.map((n) => n.html.slice(0, 90))].join('; '))"""
        )
        assert found == [], f"{state}, {scheme}"
