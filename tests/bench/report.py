"""Figures and how they are shown: a text table and JSON."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One thing measured several times. `share` is a fraction of what openssl verifies on the same core."""

    section: str
    name: str
    unit: str
    median: float
    least: float
    most: float
    share: float | None = None


def figure(section: str, name: str, unit: str, values: Sequence[float], *, floor: float | None = None) -> Figure:
    """The median of several runs with the least and the most; `floor`: openssl's rate, for rates of checks."""
    median = statistics.median(values)
    return Figure(section, name, unit, median, min(values), max(values), median / floor if floor else None)


def table(figures: Sequence[Figure]) -> str:
    """For people."""
    lines, section = [], ""
    for one in figures:
        if one.section != section:
            section = one.section
            lines += ["", f"{section:44}{'median':>11}{'least':>11}{'most':>11}         of openssl"]
        share = "" if one.share is None else f"{one.share:10.0%}"
        lines.append(f"  {one.name:42}{one.median:11,.1f}{one.least:11,.1f}{one.most:11,.1f}  {one.unit:6}{share}")
    return "\n".join(lines[1:])


def write_json(path: Path, about: dict[str, str], figures: Sequence[Figure]) -> None:
    """For programs."""
    path.write_text(json.dumps({"about": about, "figures": [asdict(one) for one in figures]}, indent=1) + "\n")
