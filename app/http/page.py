"""The page at /: static files, under addresses that change when their content does."""

import hashlib
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB: Final = Path(__file__).parent.parent / "web"

# Nothing from elsewhere, no code in the document; pictures of the visitor's own are blobs.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update({**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"})
        return response


def mount_page(app: FastAPI, wanted: bool) -> None:
    """Serve the page at / and its files under /web, or only send visitors of / to the API's documentation."""
    if not wanted:
        app.add_api_route("/", _to_docs, include_in_schema=False)
        return
    version = _version()
    document = (WEB / "index.html").read_text(encoding="utf-8").replace("{web}", f"web/{version}")
    headers = {**HEADERS, "Cache-Control": "no-cache", "ETag": f'"{version}"'}

    async def page(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return HTMLResponse(document, headers=headers)

    app.add_api_route("/", page, include_in_schema=False, response_model=None)
    app.mount(f"/web/{version}", _Files(directory=WEB))


async def _to_docs() -> RedirectResponse:
    return RedirectResponse("docs")


def _version() -> str:
    """A hash of every file of the page."""
    digest = hashlib.sha256()
    for path in sorted(WEB.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(WEB).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
