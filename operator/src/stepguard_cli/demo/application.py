"""The sample application: it knows nothing of tokens, and tells which headers it got from Stepguard."""

from stepguard_cli.demo.servers import Asked, Told


def answer(asked: Asked) -> Told:
    """A bank of few words."""
    user = asked.headers.get("x-auth-sub", "nobody")
    match asked.method, asked.path:
        case "GET", "/healthz":
            return Told({"status": "ok"})
        case "GET", "/accounts":
            return Told({"user": user, "accounts": [{"iban": "XX12 0000 0001", "balance": 1204.5}]})
        case "POST", "/transfers":
            return Told({"user": user, "authenticated with": asked.headers.get("x-auth-acr", ""), "transfer": "done"})
        case _:
            return Told({"error": "not found"}, status=404)
