"""Where a Redis or Valkey server is: `--replay-store`, parsed."""

from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

_PORT = 6379
_DATABASES = 1_000_000
_TLS = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A server and a database of it. `socket` is the path of a Unix socket, or empty. Never shown as a whole."""

    host: str
    port: int
    socket: str
    tls: bool
    database: int
    user: str
    password: str

    @property
    def place(self) -> str:
        """What logs call it: nothing secret."""
        return self.socket or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


def parse_redis_url(url: str) -> RedisAddress | str:
    """The address, or in one line what is wrong with the URL, without repeating it: it may hold a password.

    `redis://`, `valkey://` and, with TLS, `rediss://` and `valkeys://`: [user[:password]@]host[:port][/database].
    `unix://`: the path of the socket; its database is `?db=N`.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError:
        return "not a URL"
    if parts.fragment:
        return "a # in it has to be written as %23"
    if parts.scheme == "unix":
        return _unix(parts)
    if parts.scheme not in _TLS:
        return "not redis://, rediss://, valkey:// or unix://"
    database = parts.path.removeprefix("/") or "0"
    if not parts.hostname or parts.query or not _is_database(database):
        return "not like redis://host:port/database"
    return RedisAddress(
        host=parts.hostname,
        port=port,
        socket="",
        tls=_TLS[parts.scheme],
        database=int(database),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def _unix(parts: SplitResult) -> RedisAddress | str:
    database = parts.query.removeprefix("db=") or "0"
    if parts.hostname or not parts.path or not _is_database(database):
        return "not like unix:///path/of/socket?db=0"
    return RedisAddress(
        host="",
        port=0,
        socket=unquote(parts.path),
        tls=False,
        database=int(database),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


def _is_database(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_DATABASES))
