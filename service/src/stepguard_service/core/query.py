"""The query as `when` expressions see it."""

from itertools import islice
from urllib.parse import unquote_plus

from stepguard_policy.expression_limits import QUERY_PARAMETERS


def decode_query(query: str) -> dict[str, list[str]]:
    """Names to their values in order, percent- and plus-decoded as UTF-8; `&` is the only separator.

    A part without `=` has an empty value. What is no valid escape stays as it is; octets that are no UTF-8 become
    U+FFFD. Never fails.

    What follows the first `QUERY_PARAMETERS` and one more is left out: a condition about the query then has no answer.
    """
    values: dict[str, list[str]] = {}
    for part in islice(filter(None, query.split("&")), QUERY_PARAMETERS + 1):
        name, _, value = part.partition("=")
        values.setdefault(_decode(name), []).append(_decode(value))
    return values


def _decode(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text
