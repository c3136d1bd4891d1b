"""The security headers of every response, errors included."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.origins import SELF, Origins

#: Content Security Policy by directive, where no other site is allowed anything.
CONTENT_SECURITY_POLICY = {
    "default-src": "'self'",
    # The CPU engine is WebAssembly, which browsers compile only with this keyword. JavaScript's eval stays forbidden.
    "script-src": "'self' 'wasm-unsafe-eval'",
    # NiiVue decodes its font from a data: URL; without this its text is missing.
    "img-src": "'self' data:",
    # The site sends nothing: no forms, plug-ins, frames or foreign base URLs.
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
}


def security_headers(origins: Origins = Origins()) -> dict[str, str]:  # noqa: B008 (immutable)
    """The headers by name. Each of `origins` is allowed just what its setting says."""
    policy = dict(CONTENT_SECURITY_POLICY)
    if origins.scan:
        policy["connect-src"] = " ".join(["'self'", *origins.scan])
    if origins.embed:
        policy["frame-ancestors"] = " ".join("'self'" if origin == SELF else origin for origin in origins.embed)
    others_embed = any(origin != SELF for origin in origins.embed)
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        # These two make the page cross-origin isolated, which SharedArrayBuffer and hence WASM threads need.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        # A page that is isolated itself may frame only what allows it.
        "Cross-Origin-Resource-Policy": "cross-origin" if others_embed else "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": (
            "camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=(), "
            "display-capture=(), fullscreen=(self), screen-wake-lock=(self)"
        ),
    }


class SecurityHeaders:
    """ASGI middleware that sets `headers` on every response."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
