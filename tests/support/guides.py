"""The blocks of the guides: manifests, values, parts of configurations, commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from typing_extensions import override

GUIDES: Final = Path(__file__).parents[2] / "docs" / "guides"
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a guide."""

    guide: str
    language: str
    line: int
    text: str

    @override
    def __str__(self) -> str:
        """Where it is."""
        return f"{self.guide}:{self.line}"

    @property
    def documents(self) -> list[Any]:
        """As YAML."""
        return [document for document in yaml.safe_load_all(self.text) if document is not None]

    @property
    def is_manifest(self) -> bool:
        """Whether all of it is Kubernetes objects."""
        documents = self.documents if self.language == "yaml" else []
        return bool(documents) and all(isinstance(one, dict) and "apiVersion" in one for one in documents)


def text(guide: str) -> str:
    """A whole guide; without its line breaks, which a sentence may have anywhere."""
    return " ".join((GUIDES / guide).read_text(encoding="utf-8").split())


def blocks() -> Iterator[Block]:
    """Every block of every guide."""
    for path in sorted(GUIDES.glob("*.md")):
        content = path.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(content):
            yield Block(path.name, found[1], content.count("\n", 0, found.start()) + 2, found[2])


def commands() -> Iterator[tuple[Block, list[str]]]:
    """Each command of a console block, in words."""
    for block in blocks():
        if block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    yield block, shlex.split(line.removeprefix("$ "))
