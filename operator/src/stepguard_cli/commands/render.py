"""`stepguard render`: the snapshot that these files compile to, as JSON."""

import argparse
import json
from pathlib import Path

from stepguard_policy.compile import render_snapshot

from stepguard_cli.console import Console
from stepguard_cli.reading import read_sound


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a YAML file, or a folder of *.yaml")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Print it; JSON is the one form it has."""
    snapshot = render_snapshot(read_sound(arguments.paths).compiled.snapshot)
    console.line(json.dumps(snapshot, indent=2, ensure_ascii=False))
    console.document(snapshot)
    return 0
