"""Client secrets, as Kubernetes mounts Secrets: `--secrets-dir`/NAME/KEY, read when they are used."""

import re
from dataclasses import dataclass
from pathlib import Path

from stepguard_service.limits import SECRET_LENGTH

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class NoSecret:
    """Why a secret cannot be read, in one line."""

    detail: str


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """The folder of mounted Secrets; None: the service was given none."""

    folder: Path | None

    def read(self, name: str, key: str) -> str | NoSecret:
        """The secret as it is now, without a line end at its end: a rotated one counts from the next use on."""
        if self.folder is None:
            return NoSecret("there is no --secrets-dir to read client secrets from")
        if not (_PART.fullmatch(name) and _PART.fullmatch(key)):
            return NoSecret(f"{name}/{key} is no name of a Secret and its key")
        path = self.folder / name / key
        try:
            with path.open("rb") as file:
                content = file.read(SECRET_LENGTH + 1)
            secret = content.decode().removesuffix("\n").removesuffix("\r")
        except OSError as error:
            return NoSecret(f"{path}: {error.strerror}")
        except UnicodeDecodeError:
            return NoSecret(f"{path}: not UTF-8")
        if not secret or len(content) > SECRET_LENGTH:
            return NoSecret(f"{path}: empty, or longer than {SECRET_LENGTH} bytes")
        return secret
