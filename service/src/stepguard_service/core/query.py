"""The query as `when` expressions see it."""

from urllib.parse import unquote_plus


def decode_query(query: str) -> dict[str, list[str]]:
    """Names to their values in order, percent- and plus-decoded as UTF-8; `&` is the only separator.

    A part without `=` has an empty value. What is no valid escape stays as it is; octets that are no UTF-8 become
    U+FFFD. Never fails.
    """
    values: dict[str, list[str]] = {}
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            values.setdefault(_decode(name), []).append(_decode(value))
    return values


def _decode(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
