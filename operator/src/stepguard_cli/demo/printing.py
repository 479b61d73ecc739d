"""How the demo's scenes look."""

import json
import textwrap
from collections.abc import Mapping
from typing import Final

from stepguard_cli.console import Console, Style
from stepguard_cli.demo.layout import Ports
from stepguard_cli.demo.story import Scene

WIDTH: Final = 110
VALUE_LENGTH: Final = 40
SHOWN: Final = ("www-authenticate", "dpop-nonce", "cache-control")


def picture(ports: Ports) -> str:
    """What runs, and where."""
    return f"""\
    client ───► Envoy :{ports.front} ─────────► application :{ports.application}
      │           │  may this request pass?
      │           ▼
      │         Stepguard :{ports.stepguard} ◄── policies
      ▼           │ keys
    authorization server :{ports.authorization_server}
"""


def show(number: int, scene: Scene, console: Console) -> None:
    """Print one scene."""
    console.line(console.styled(f"{number}  {scene.title}", Style.STRONG))
    for line in textwrap.dedent(scene.edit).splitlines():
        console.line(console.styled(f"   │ {line}", Style.DIM))
    exchange = scene.exchange
    console.line(f"   → {exchange.method} {exchange.url}")
    for name, value in exchange.headers:
        console.line(console.styled(f"     {name}: {_shortened(value)}", Style.DIM))
    passed = exchange.response.status < 400  # noqa: PLR2004 - HTTP
    console.line("   ← " + console.styled(exchange.response.phrase, Style.GOOD if passed else Style.WARN))
    for name, value in exchange.response.headers:
        if name in SHOWN:
            for line in textwrap.wrap(f"{name}: {value}", WIDTH, subsequent_indent="    ", break_on_hyphens=False):
                console.line(console.styled(f"     {line}", Style.NAME))
    if exchange.response.body:
        console.line(f"     {exchange.response.body.strip()}")
    mark, style = ("✓", Style.GOOD) if scene.as_expected else ("✗ not as expected:", Style.BAD)
    console.line("   " + console.styled(f"{mark} {scene.expected}", style))
    console.line()


def _shortened(value: str) -> str:
    """A credential's first characters: enough to tell one from another."""
    scheme, space, rest = value.rpartition(" ")
    return f"{scheme}{space}{rest[:VALUE_LENGTH]}…" if len(rest) > VALUE_LENGTH else value


def as_document(scene: Scene) -> Mapping[str, object]:
    """The scene as data; credentials in full, they are the demo's own."""
    exchange = scene.exchange
    return {
        "title": scene.title,
        "request": {"method": exchange.method, "url": exchange.url, "headers": dict(exchange.headers)},
        "response": {
            "status": exchange.response.status,
            "headers": [list(header) for header in exchange.response.headers],
            "body": _parsed(exchange.response.body),
        },
        "expected": scene.expected,
        "as_expected": scene.as_expected,
    }


def _parsed(body: str) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body
