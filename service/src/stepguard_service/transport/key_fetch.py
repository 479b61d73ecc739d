"""One fetch of one source of keys: the JWK Set itself, or the issuer's metadata and then the JWK Set it names."""

import asyncio
from dataclasses import dataclass

from stepguard_service.core.keys import KeySet
from stepguard_service.core.model import Rejected
from stepguard_service.limits import JWKS_LENGTH, KEYS_FETCH_TIME, METADATA_LENGTH
from stepguard_service.proof.metadata import jwks_uri_of, metadata_urls
from stepguard_service.stores.keys import KeySource, Parse, SourceKind
from stepguard_service.transport.http_fetch import FetchFailed, HttpClient


@dataclass(frozen=True, slots=True)
class FreshKeys:
    """Keys as just fetched. `fresh_for`: seconds, as the JWK Set's Cache-Control says."""

    keys: KeySet
    fresh_for: int | None


async def fetch_keys(client: HttpClient, source: KeySource, parse: Parse) -> FreshKeys | FetchFailed:
    """The keys of a source, or in one line why there are none. All requests together take at most 10 s."""
    try:
        async with asyncio.timeout(KEYS_FETCH_TIME):
            uri = source.url
            if source.kind is SourceKind.DISCOVERY:
                found = await _discover(client, source.url)
                if isinstance(found, FetchFailed):
                    return found
                uri = found
            return await _jwk_set(client, uri, parse)
    except TimeoutError:
        return FetchFailed(f"{source.url}: no keys within {KEYS_FETCH_TIME:g} s")


async def _discover(client: HttpClient, issuer: str) -> str | FetchFailed:
    """The issuer's `jwks_uri`, from the first of its metadata documents that is really its own."""
    failures: list[str] = []
    for url in metadata_urls(issuer):
        document = await client.get(url, limit=METADATA_LENGTH, seconds=KEYS_FETCH_TIME)
        if isinstance(document, FetchFailed):
            failures.append(f"{url}: {document.detail}")
            continue
        uri = jwks_uri_of(document.body, issuer)
        if isinstance(uri, str):
            return uri
        failures.append(f"{url}: {uri.detail}")
    return FetchFailed("; ".join(failures))


async def _jwk_set(client: HttpClient, uri: str, parse: Parse) -> FreshKeys | FetchFailed:
    document = await client.get(uri, limit=JWKS_LENGTH, seconds=KEYS_FETCH_TIME)
    if isinstance(document, FetchFailed):
        return FetchFailed(f"{uri}: {document.detail}", document.status)
    keys = parse(document.body)
    if isinstance(keys, Rejected):
        return FetchFailed(f"{uri}: {keys.detail}")
    return FreshKeys(keys, document.fresh_for)
