"""What a file of cases may say. Field names are camelCase in YAML, as in the custom resources."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError
from stepguard_policy.messages import describe
from stepguard_policy.resources import Problem
from stepguard_policy.resources.duration import Duration
from stepguard_policy.resources.schema import Model
from stepguard_policy.yaml_reader import read_yaml
from stepguard_service.core.model import Outcome
from stepguard_service.core.reasons import Reason

from stepguard_cli.console import CliError

NAME_LENGTH: Final = 200


class RequestCase(Model):
    """The request, as Envoy gets it."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = Field(default_factory=dict)


class TokenCase(Model):
    """The access token that goes with it."""

    issuer: str = ""
    """Name of a TokenIssuer; may be left out where the policies have one."""
    claims: dict[str, Any] = Field(default_factory=dict)
    """On top of iss, aud, sub, client_id, iat, exp and jti; null leaves one out."""
    authenticated_ago: Annotated[int, Duration("0s")] | None = None
    """Makes `auth_time`."""
    bound: bool = True
    """Whether it is bound to the client's key; an unbound one is sent under Bearer."""


class ProofCase(StrEnum):
    """The DPoP proof that goes with a bound token."""

    GOOD = "Good"
    MISSING = "Missing"
    OTHER_KEY = "OtherKey"
    REPEATED = "Repeated"
    """The same proof was used by another request before."""


class Expected(Model):
    """What the answer has to be; what is left out may be anything."""

    outcome: Outcome
    status: int | None = None
    policy: str | None = None
    rule: str | None = None
    reason: Reason | None = None


class Case(Model):
    """One test."""

    name: str = Field(min_length=1, max_length=NAME_LENGTH)
    request: RequestCase
    token: TokenCase | None = None
    proof: ProofCase = ProofCase.GOOD
    expect: Expected


class CaseFile(Model):
    """One file. `policies` are files and folders, relative to the file."""

    policies: list[str] = Field(min_length=1)
    tests: list[Case] = Field(min_length=1)


def case_files(paths: list[Path]) -> list[Path]:
    """The files themselves, and every `*.yaml` in the folders. Raises CliError."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(path.glob("*.yaml"))
        elif path.exists():
            files.append(path)
        else:
            raise CliError(f"{path}: no such file or folder")
    if not files:
        raise CliError(f"{paths[0]}: there is no *.yaml in it")
    return files


def read_cases(file: Path) -> CaseFile:
    """Parse one file, as strictly as policies are. Raises CliError naming the first thing that is wrong."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CliError(f"{file}: {error.strerror}") from None
    documents, problems = read_yaml(str(file), data)
    if problems:
        raise CliError(str(problems[0]))
    if len(documents) != 1:
        raise CliError(f"{file}: one document with policies and tests is needed, there are {len(documents)}")
    document = documents[0]
    try:
        return CaseFile.model_validate(document.value)
    except ValidationError as error:
        path, message = describe(error, CaseFile)[0]
        field = path.lstrip(".")
        raise CliError(str(Problem(str(file), document.source.line_of(field), field, message))) from None
