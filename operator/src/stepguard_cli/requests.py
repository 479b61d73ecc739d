"""URLs as requests: what Envoy would have told the service about them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from stepguard_service.core.model import Request

from stepguard_cli.console import CliError

URL: Final = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """The two parts of a URL that the service sees, spelled as they were given."""

    authority: str
    path: str
    """With its query."""

    def request(self, method: str, headers: Mapping[str, str], *, request_id: str = "cli") -> Request:
        """The request; header names become lower case."""
        lower = {name.lower(): value for name, value in headers.items()}
        return Request(id=request_id, method=method, authority=self.authority, target=self.path, headers=lower)


def parse_url(url: str) -> Target:
    """Split a URL without changing any spelling in it: that is the service's to do. Raises CliError."""
    found = URL.fullmatch(url)
    if found is None:
        raise CliError(f"{url}: write the whole URL, such as https://api.example.com/accounts")
    target = found["target"]
    return Target(found["authority"], target if target.startswith("/") else f"/{target}")
