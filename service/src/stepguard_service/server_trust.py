"""Which servers we trust over TLS: the same with every version of Python that we run on."""

import ssl
from pathlib import Path


def trust_context(*, file: Path | None = None, pem: str | None = None) -> ssl.SSLContext:
    """Trust in the CAs of a file or a text (PEM), or in the system's, for connections that we open.

    As Go and Envoy have it: every certificate that is named is an anchor, whoever signed it, and the identifiers of
    keys that RFC 5280 §4.2.1.1 asks for need not be there; many private CAs leave them out.

    Raises:
        OSError: the file cannot be read, or what is named holds no certificate (ssl.SSLError).
    """
    context = ssl.create_default_context(cafile=file, cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
