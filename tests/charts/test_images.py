"""The Dockerfile, as far as it can be judged without building: sources, packages, users, what each image can run."""

import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"\\\n", " ", DOCKERFILE)
IGNORED = (ROOT / ".dockerignore").read_text().split()
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*==\S+)", re.MULTILINE)


def stage(name: str) -> list[str]:
    """The instructions of one stage and of those it is made from, in order."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM |\Z)", INSTRUCTIONS, re.MULTILINE | re.DOTALL)
    bases = {stage: (base, body) for base, stage, body in stages}
    base, body = bases[name]
    own = [line.strip() for line in body.splitlines() if line.strip() and not line.startswith("#")]
    return [*(stage(base) if base in bases else []), *own]


def pins(name: str) -> set[str]:
    """name==version of each package of a requirements file."""
    return set(PIN.findall((ROOT / "requirements" / f"{name}.txt").read_text()))


def context(folder: Path) -> Path:
    """What `docker build` sends: the tracked files but for the ignored."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in tracked.splitlines():
        if not any(fnmatch(name.partition("/")[0], pattern) for pattern in IGNORED) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def test_what_it_copies_from_the_context_exists_there() -> None:
    """And is not ignored."""
    for line in re.findall(r"^COPY (?!--from)(.*)$", INSTRUCTIONS, re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (ROOT / source).exists()
            assert source.partition("/")[0] not in IGNORED


def test_the_context_is_enough_to_build_the_package(tmp_path: Path) -> None:
    """As the image does it: with the packages of requirements/build.txt and without the network."""
    command = ("build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", context(tmp_path / "context"))
    built = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.partition("/")[0] for name in names}
    assert {"stepguard", "stepguard_service", "stepguard_operator", "stepguard_policy", "stepguard_cli"} <= folders
    assert "stepguard_cli/demo/files/envoy.yaml" in names


@pytest.mark.parametrize("image", ["service", "operator"])
def test_the_last_user_of_an_image_is_not_root(image: str) -> None:
    """By number, so that Kubernetes can see it: the same that the chart sets."""
    users = [line for line in stage(image) if line.startswith("USER ")]
    assert users[-1] == "USER 65532:65532"


@pytest.mark.parametrize("image", ["service", "operator"])
def test_an_image_starts_its_program_and_has_only_its_packages(image: str) -> None:
    """What the build needs stays in the build."""
    lines = stage(image)
    assert lines[-1] == f'ENTRYPOINT ["stepguard-{image}"]'
    assert [line for line in lines if line.startswith("COPY ")] == [f"COPY --from=build /opt/{image} /opt/{image}"]
    assert f"ENV PATH=/opt/{image}/bin:$PATH" in lines


def test_every_package_is_installed_by_hash() -> None:
    """Only our own wheel, which was built there, is not."""
    commands = [part for line in stage("build") for part in line.split("&&") if "pip install" in part]
    assert len(commands) == 5
    assert all("--require-hashes" in part or "--no-deps /dist/*.whl" in part for part in commands)


@pytest.mark.parametrize("name", ["service", "operator", "build"])
def test_images_have_the_versions_that_are_tested(name: str) -> None:
    """Each pin is one of requirements/dev.txt."""
    assert pins(name) <= pins("dev")


def test_each_image_leaves_out_what_the_other_needs() -> None:
    """No Kubernetes client in the service, no Redis client in the operator."""
    names = {image: {pin.partition("==")[0] for pin in pins(image)} for image in ("service", "operator")}
    assert "kopf" in names["operator"] - names["service"]
    assert {"hiredis", "xds-protos"} <= names["service"] - names["operator"]


# What a program imports only once it runs.
PARTS = {
    "stepguard_service": [
        "stepguard_service.wiring",
        "stepguard_service.program",
        "stepguard_service.transport.traces",
    ],
    "stepguard_operator": ["stepguard_operator.wiring", "stepguard_operator.program"],
    "stepguard_cli": ["stepguard_cli.commands.snapshot"],
}
RUNS = {
    "the service": ("service", "stepguard_service", "--help"),
    "the operator": ("operator", "stepguard_operator", "--help"),
    "stepguard snapshot in the service": ("service", "stepguard_cli", "snapshot --help"),
}


@pytest.mark.parametrize(("image", "package", "arguments"), RUNS.values(), ids=RUNS)
def test_with_the_packages_of_the_image_runs(image: str, package: str, arguments: str) -> None:
    """Every module of another distribution than those of the image is as if it were not there."""
    allowed = sorted(pin.partition("==")[0] for pin in pins(image))
    script = f"""
import re, sys
from importlib import import_module
from importlib.metadata import packages_distributions
allowed = {allowed!r} + ["stepguard"]
normal = lambda name: re.sub(r"[-_.]+", "-", name).lower()
owners = packages_distributions()
class Absent:
    def find_spec(self, name, path=None, target=None):
        found = owners.get(name.partition(".")[0], ())
        if found and not any(normal(one) in allowed for one in found):
            raise ModuleNotFoundError(f"No module named {{name!r}}, it is of {{found}}", name=name)
sys.meta_path.insert(0, Absent())
for part in {PARTS[package]!r}:
    import_module(part)
from {package}.__main__ import main
sys.argv = ["program", *{arguments.split()!r}]
raise SystemExit(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout
