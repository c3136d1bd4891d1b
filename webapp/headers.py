"""The security headers of every response, errors included."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Content Security Policy by directive. The page contacts no other server.
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

SECURITY_HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in CONTENT_SECURITY_POLICY.items()),
    # These two make the page cross-origin isolated, which SharedArrayBuffer and hence WASM threads need.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": (
        "camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=(), "
        "display-capture=(), fullscreen=(self), screen-wake-lock=(self)"
    ),
}


class SecurityHeaders:
    """ASGI middleware that sets `SECURITY_HEADERS` on every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
