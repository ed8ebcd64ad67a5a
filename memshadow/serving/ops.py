"""Whether the service answers, and the page that explains it: no token, no memory, no script."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from textwrap import dedent
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from memshadow.serving.http import Call, LeanRoute
from memshadow.serving.shapes import HealthTold

router = APIRouter(route_class=LeanRoute)
_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent) }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 54rem; margin: 3rem auto; padding: 0 1.2rem }
h1 { font-size: 1.7rem } h2 { font-size: 1.2rem; margin-top: 2.6rem } h3 { font-size: 1rem; margin: 0 }
code, pre { font: 0.88em ui-monospace, monospace }
pre { padding: .8rem 1rem; border: 1px solid var(--line); border-radius: .4rem; overflow-x: auto }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; padding: .5rem .8rem }
summary { cursor: pointer } summary code { font-weight: 600 }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem }
td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line) }
.verb { display: inline-block; min-width: 4.2rem; font: 600 .8em ui-monospace, monospace }
"""
_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'"


@router.get("/health", response_model=HealthTold, tags=["service"])
async def health(call: Call) -> Any:  # noqa: ARG001 - every route is given its call
    """Say that the service answers. Needs no token."""
    return {"status": "ok"}


@router.get("/api/docs", include_in_schema=False)
async def docs(call: Call) -> Any:
    """Show /openapi.json to people."""
    return HTMLResponse(page_of(call.app.openapi()), headers={"Content-Security-Policy": _POLICY})


def page_of(description: dict[str, Any]) -> str:
    """Return an OpenAPI description as one page without any script."""
    info, schemas = description["info"], description.get("components", {}).get("schemas", {})
    rooms: dict[str, list[str]] = {}
    for path, methods in description["paths"].items():
        for verb, route in methods.items():
            rooms.setdefault((route.get("tags") or ["other"])[0], []).append(_route(verb, path, route))
    body = "".join(f"<h2>{escape(room)}</h2>{''.join(routes)}" for room, routes in rooms.items())
    shapes = "".join(
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> {escape(shape.get("description", ""))}'
        f"</summary>{_fields(shape)}</details>"
        for name, shape in schemas.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>{_paragraphs(info.get('description', ''))}"
        f'{body}<h2>shapes</h2>{shapes}<p><a href="/openapi.json">openapi.json</a></p></body></html>'
    )


def _route(verb: str, path: str, route: dict[str, Any]) -> str:
    told = route.get("description", "")
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}"
        f"{', required' if one.get('required') else ''}"
        f"<td>{escape(one.get('description', ''))}</tr>"
        for one in route.get("parameters", ())
    )
    parameters = f"<table>{rows}</table>" if rows else ""
    body = "".join(f"<p>Body, {escape(kind)}: {_named(one)}</p>" for kind, one in _content(route.get("requestBody")))
    answers = "".join(
        f"<p>{escape(status)}, {escape(kind)}: {_named(one)}</p>"
        for status, answer in route["responses"].items()
        for kind, one in _content(answer)
    )
    heading = f'<span class="verb">{escape(verb.upper())}</span> <code>{escape(path)}</code>'
    short = escape(told.partition("\n")[0])
    return f"<details><summary>{heading} {short}</summary>{_paragraphs(told)}{parameters}{body}{answers}</details>"


def _content(part: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    return [(kind, one.get("schema", {})) for kind, one in (part or {}).get("content", {}).items()]


def _fields(shape: dict[str, Any]) -> str:
    needed = set(shape.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if name in needed else ', optional'}<td>{_named(one)}"
        f"<td>{escape(one.get('description', ''))}</tr>"
        for name, one in shape.get("properties", {}).items()
    )
    return f"<table>{rows}</table>"


def _named(shape: dict[str, Any]) -> str:
    """Return a schema in a few words, with a link where it has a name."""
    if "$ref" in shape:
        name = escape(shape["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in shape:
        return " or ".join(_named(one) for one in shape["anyOf"])
    if shape.get("type") == "array":
        return f"list of {_named(shape.get('items', {}))}"
    if "enum" in shape:
        return " or ".join(f"<code>{escape(str(one))}</code>" for one in shape["enum"])
    if "const" in shape:
        return f"<code>{escape(str(shape['const']))}</code>"
    return escape(str(shape.get("format") or shape.get("type") or "anything"))


def _paragraphs(text: str) -> str:
    return "".join(_paragraph(part) for part in text.split("\n\n") if part.strip())


def _paragraph(text: str) -> str:
    if text.startswith("    "):
        return f"<pre>{escape(dedent(text))}</pre>"
    marked = _CODE.sub(r"<code>\1</code>", escape(text.strip()))
    return f"<p>{marked}</p>"


_CODE = re.compile(r"`([^`]+)`")
