"""Policies in files: every document of every file, and all that is wrong with them at once.

The same documents as for kubectl, read strictly: nothing is skipped, guessed or silently ignored but `status` and the
metadata that only a cluster gives meaning to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from stepguard_policy.parsing import parse_document, parse_object
from stepguard_policy.resources.objects import API_VERSION, Problem, Resource, Severity, Source
from stepguard_policy.yaml_reader import Document, read_yaml

__all__ = ["Loaded", "Problem", "Severity", "Source", "load_paths", "parse_documents", "parse_object"]

FILE_LENGTH: Final = 4 * 1024 * 1024
"""Bytes: some 1 000 policies, or the largest three objects that etcd takes."""

_LISTS = {("v1", "List"), (API_VERSION, "StepUpPolicyList"), (API_VERSION, "TokenIssuerList")}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was read. A resource with a problem in its spec is among `resources` with `spec` None."""

    resources: tuple[Resource, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems that are not mere warnings."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)


def load_paths(paths: Sequence[Path]) -> Loaded:
    """Read files, and the `*.yaml` files of folders (not of folders inside them). Never raises.

    Hidden entries are skipped: in a mounted ConfigMap they hold the same files a second time.
    """
    problems: list[Problem] = []
    resources: list[Resource] = []
    for file in _files(paths, problems):
        data = _read(file, problems)
        if data is not None:
            loaded = parse_documents(str(file), data)
            resources += loaded.resources
            problems += loaded.problems
    return Loaded(tuple(resources), (*problems, *_repeated(resources)))


def parse_documents(file: str, data: bytes) -> Loaded:
    """Read the documents of one file from its bytes; `file` is how problems name it. Never raises."""
    documents, found = read_yaml(file, data)
    problems = list(found)
    resources: list[Resource] = []
    for index, document in enumerate(_unpacked(documents)):
        resource, inner = parse_document(document.value, document.source, (file, index))
        problems += (problem for problem in inner if not _said(problem, found))
        if resource is not None:
            resources.append(resource)
    if not documents and not problems:
        problems.append(Problem(file, 0, "", "has no documents", Severity.WARNING))
    return Loaded(tuple(resources), tuple(sorted(problems, key=lambda problem: problem.line)))


def _files(paths: Sequence[Path], problems: list[Problem]) -> Iterator[Path]:
    for path in paths:
        try:
            entries = sorted(path.iterdir()) if path.is_dir() else None
        except OSError as error:
            problems.append(Problem(str(path), 0, "", f"cannot be read: {error.strerror}"))
            continue
        if entries is None:
            yield path
        else:
            yield from _files_of_folder(path, entries, problems)


def _files_of_folder(folder: Path, entries: list[Path], problems: list[Problem]) -> Iterator[Path]:
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    chosen = [entry for entry in visible if entry.suffix == ".yaml"]
    for entry in visible:
        if entry.suffix in {".yml", ".json"}:
            message = "is not read: only files named *.yaml are"
            problems.append(Problem(str(entry), 0, "", message, Severity.WARNING))
    if not chosen:
        problems.append(Problem(str(folder), 0, "", "has no file named *.yaml"))
    yield from chosen


def _read(file: Path, problems: list[Problem]) -> bytes | None:
    try:
        message = "is not a file" if file.exists() else "does not exist"
        if file.is_file():
            with file.open("rb") as opened:
                data = opened.read(FILE_LENGTH + 1)
            if len(data) <= FILE_LENGTH:
                return data
            message = f"is longer than {FILE_LENGTH} bytes"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    problems.append(Problem(str(file), 0, "", message))
    return None


def _unpacked(documents: Sequence[Document]) -> Iterator[Document]:
    """The documents, and the items of `kind: List` as `kubectl get -o yaml` writes it."""
    for document in documents:
        value: Any = document.value
        if isinstance(value, dict) and (value.get("apiVersion"), value.get("kind")) in _LISTS:
            items = value.get("items")
            for index, item in enumerate(items if isinstance(items, list) else ()):
                yield _item(document, f"items[{index}]", item)
        else:
            yield document


def _item(document: Document, path: str, value: object) -> Document:
    lines = document.source.lines
    inner = {name.removeprefix(f"{path}."): line for name, line in lines.items() if name.startswith(f"{path}.")}
    return Document(value, Source(document.source.file, {"": lines[path], **inner}))


def _said(problem: Problem, found: Sequence[Problem]) -> bool:
    """Whether the YAML of this very field is already complained about: its value means nothing then."""
    return any(other.line == problem.line and other.field.endswith(problem.field) for other in found if other.field)


def _repeated(resources: Sequence[Resource]) -> Iterator[Problem]:
    first: dict[tuple[str, str, str], Resource] = {}
    for resource in resources:
        key = (resource.kind, resource.namespace, resource.name)
        other = first.setdefault(key, resource)
        if other is not resource:
            name = f"{resource.namespace}/{resource.name}".removeprefix("/")
            message = f"{resource.kind} {name} was already given in {_place(other)}"
            file, line = _place_of(resource)
            yield Problem(file, line, "metadata.name", message)


def _place_of(resource: Resource) -> tuple[str, int]:
    source = resource.source
    return (source.file, source.line_of("metadata.name")) if source else ("", 0)


def _place(resource: Resource) -> str:
    file, line = _place_of(resource)
    return f"{file}:{line}"
