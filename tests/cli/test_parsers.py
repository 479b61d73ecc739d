"""What people hand to the command is read, or refused in one line: never with another error."""

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stepguard_cli.cases.model import CaseFile, read_cases
from stepguard_cli.console import CliError
from stepguard_cli.requests import Target, parse_url

SPLIT = {
    "https://api.example.com": ("api.example.com", "/"),
    "https://api.example.com?x": ("api.example.com", "/?x"),
    "HTTP://Api.Example.COM:80/a/../b%2f?q=/#f": ("Api.Example.COM:80", "/a/../b%2f?q=/"),
    "https://evil@api.example.com/": ("evil@api.example.com", "/"),
    "https://[::1]:8443//x": ("[::1]:8443", "//x"),
}


@pytest.mark.parametrize(("url", "parts"), SPLIT.items())
def test_a_url_is_split_without_changing_any_spelling(url: str, parts: tuple[str, str]) -> None:
    """What is odd about it, the service has to judge."""
    assert parse_url(url) == Target(*parts)


@pytest.mark.parametrize("url", ["", "/accounts", "api.example.com/accounts", "ftp://api.example.com/", "https:/a"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """A path alone names no host."""
    with pytest.raises(CliError, match="write the whole URL"):
        parse_url(url)


@given(st.text() | st.text().map("https://{}".format))
def test_any_text_gives_a_target_or_a_refusal(url: str) -> None:
    """And a target's path starts with a slash."""
    with contextlib.suppress(CliError):
        assert parse_url(url).path.startswith("/")


NAMES = st.sampled_from(
    ["policies", "tests", "name", "request", "url", "method", "token", "claims", "authenticatedAgo", "proof", "expect"]
)
NODES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["Good", "allow", "5m"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | NODES.map(lambda node: yaml.safe_dump(node).encode()))
def test_any_bytes_give_cases_or_a_refusal_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    """In one line."""
    file = tmp_path / "cases.yaml"
    file.write_bytes(data)
    read = outcome(file)
    assert isinstance(read, CaseFile) or (read.startswith(str(file)) and "\n" not in read)


def outcome(file: Path) -> CaseFile | str:
    """The cases, or why they are refused."""
    try:
        return read_cases(file)
    except CliError as error:
        return str(error)
