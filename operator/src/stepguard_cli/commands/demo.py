"""`stepguard demo`: Envoy, Stepguard, an authorization server and an application on loopback, and a story."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from stepguard_cli.console import Console, Style
from stepguard_cli.demo import application, layout, printing, programs
from stepguard_cli.demo.authorization_server import AuthorizationServer
from stepguard_cli.demo.client import Client
from stepguard_cli.demo.servers import serving
from stepguard_cli.demo.story import SCENES, Stage
from stepguard_cli.proofs import write_key


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("--keep", action="store_true", help="keep everything running afterwards and print curl lines")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Tell the story; 0 when every request was answered as expected."""
    with _ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="stepguard-demo-") as folder:
        ports = layout.choose_ports()
        console.line(printing.picture(ports))
        with _everything(Path(folder), ports) as stage:
            good = _tell(stage, console)
            if arguments.keep:
                _keep(stage, Path(folder), console)
    return 0 if good else 1


@contextlib.contextmanager
def _everything(folder: Path, ports: layout.Ports) -> Iterator[Stage]:
    """All parts, started in the order in which they need each other."""
    examples, policies = layout.example_files(), folder / "policies"
    layout.copy_policies(examples, policies, ports)
    layout.copy_envoy_config(examples, folder / "envoy.yaml", ports)
    server = AuthorizationServer(ports.authorization_server_url, ports.front_url)
    with (
        serving(ports.authorization_server, server.answer),
        serving(ports.application, application.answer),
        programs.stepguard_service(policies, ports, folder / "stepguard-service.log"),
        programs.envoy(folder / "envoy.yaml", ports, folder / "envoy.log"),
    ):
        client, thief = (Client(ports.authorization_server_url) for _ in range(2))
        yield Stage(ports.front_url, policies / "payments.yaml", client, thief)


def _tell(stage: Stage, console: Console) -> bool:
    scenes = []
    for number, scene in enumerate(SCENES, start=1):
        scenes.append(scene(stage))
        printing.show(number, scenes[-1], console)
    bad = sum(not scene.as_expected for scene in scenes)
    verdict = f"{bad} of {len(scenes)} answers were not as expected" if bad else "every answer was as expected"
    console.line(console.styled(verdict, Style.BAD if bad else Style.GOOD))
    console.document({"scenes": [printing.as_document(scene) for scene in scenes], "as_expected": not bad})
    return not bad


def _keep(stage: Stage, folder: Path, console: Console) -> None:
    """Print what to try, and wait for Ctrl-C."""
    key, token = folder / "client.pem", folder / "token"
    write_key(stage.client.key, key)
    token.write_text(stage.strong_token, encoding="utf-8")
    stepguard = Path(sys.executable).with_name("stepguard")
    for line in (
        "",
        console.styled("Everything keeps running. Try (the token lasts an hour):", Style.STRONG),
        "",
        f"  TOKEN=$(cat {token})",
        f"  URL={stage.accounts}",
        '  curl -i $URL -H "Authorization: DPoP $TOKEN" \\',
        f'    -H "DPoP: $({stepguard} proof --method GET --url $URL --token $TOKEN --key {key})"',
        "",
        f"  $EDITOR {stage.policy_file}",
        "",
        console.styled("Ctrl-C ends everything.", Style.DIM),
    ):
        console.line(line)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does: everything it started ends first."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
