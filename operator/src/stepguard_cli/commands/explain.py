"""`stepguard explain`: which rule applies to a request, why the others do not, and how the request is decided."""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from stepguard_service.core.model import Allow, Answer, Outcome, Refuse
from stepguard_service.core.rulings import RULINGS

from stepguard_cli.console import Console, Style, columns
from stepguard_cli.engine import engine
from stepguard_cli.explanation import Candidate, Explanation, Notes, explain
from stepguard_cli.reading import read_sound
from stepguard_cli.requests import parse_url

HEADERS_SHOWN: Final = frozenset({"www-authenticate", "dpop-nonce"})
ALLOWED: Final = frozenset({Outcome.ALLOW, Outcome.PREFLIGHT, Outcome.METADATA})


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("method", metavar="METHOD")
    parser.add_argument("url", metavar="URL", help="the whole URL, as Envoy gets it")
    parser.add_argument("--policies", required=True, type=Path, metavar="DIR", help="the folder of policies")
    parser.add_argument("--token", metavar="JWT", help="an access token, to see it judged")
    parser.add_argument("--proof", metavar="JWT", help="a DPoP proof; the token is then sent under DPoP, else Bearer")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print the explanation. That the request is refused is no failure of the command."""
    reading = read_sound([arguments.policies])
    request = parse_url(arguments.url).request(arguments.method, _headers(arguments.token, arguments.proof))
    notes = Notes()
    with engine(reading.compiled.snapshot, watch=notes) as decider:
        explanation = explain(reading, decider, notes, request=request, now=int(time.time()))
    for line in _lines(explanation, console):
        console.line(line)
    console.document(_document(explanation))
    return 0


def _headers(token: str | None, proof: str | None) -> dict[str, str]:
    headers = {}
    if token is not None:
        headers["authorization"] = f"{'Bearer' if proof is None else 'DPoP'} {token}"
    if proof is not None:
        headers["dpop"] = proof
    return headers


def _lines(explanation: Explanation, console: Console) -> Iterator[str]:
    if explanation.host:
        yield f"host  {console.styled(explanation.host, Style.STRONG)}"
        yield f"path  {explanation.path} (normal form)"
        yield ""
        yield console.styled("rules of this host, in the order in which they are looked at", Style.STRONG)
        yield from _candidates(explanation.candidates, console)
        yield from (console.styled(f"  · {line}", Style.DIM) for line in explanation.elsewhere)
        yield ""
    if explanation.demands:
        yield console.styled(f"what {explanation.answer.rule} demands", Style.STRONG) + f"  {explanation.place}"
        rows = [(demand.name, demand.value, demand.origin) for demand in explanation.demands]
        yield from (f"  {line}" for line in columns(rows))
        yield ""
    for check in explanation.checks:
        mark, style = ("✓", Style.GOOD) if check.reason is None else ("✗", Style.BAD)
        yield f"  {console.styled(mark, style)} {check.sentence}"
    yield from _answer(explanation.answer, console)


def _candidates(candidates: Sequence[Candidate], console: Console) -> Iterator[str]:
    rows = [(one.policy, one.rule, one.match, one.fate) for one in candidates]
    for candidate, line in zip(candidates, columns(rows), strict=True):
        mark = "→" if candidate.applies else "·"
        yield console.styled(f"  {mark} {line}", Style.GOOD if candidate.applies else Style.DIM)


def _answer(answer: Answer, console: Console) -> Iterator[str]:
    ruling = RULINGS.get(answer.reason)
    row = f", row {ruling.row}" if ruling else ""
    style = Style.GOOD if answer.outcome in ALLOWED else Style.WARN
    verdict = f"{answer.outcome.value} ({answer.reason.value}{row})"
    yield console.styled(verdict, style) + (" only said, not done: mode is Audit" if answer.audited else "")
    match answer.response:
        case Refuse(status=status, headers=headers):
            yield f"  {status}"
            yield from (f"  {name}: {value}" for name, value in headers if name in HEADERS_SHOWN)
        case Allow(set_headers=set_headers, remove_headers=removed):
            yield from (f"  the application gets {name}: {value}" for name, value in set_headers)
            yield from (f"  the application does not get {name}" for name in removed)


def _document(explanation: Explanation) -> dict[str, object]:
    answer = explanation.answer
    return {
        "host": explanation.host,
        "path": explanation.path,
        "candidates": [asdict(candidate) for candidate in explanation.candidates],
        "elsewhere": list(explanation.elsewhere),
        "rule": {"policy": answer.policy, "name": answer.rule, "place": explanation.place},
        "demands": [asdict(demand) for demand in explanation.demands],
        "checks": [{"check": check.sentence, "reason": check.reason} for check in explanation.checks],
        "outcome": answer.outcome.value,
        "reason": answer.reason.value,
        "audited": answer.audited,
        "status": answer.response.status if isinstance(answer.response, Refuse) else None,
        "headers": [list(header) for header in answer.response.headers] if isinstance(answer.response, Refuse) else [],
    }
