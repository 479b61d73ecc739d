"""Warnings that are worth saying once, not at every attempt."""

import logging


class Complaints:
    """Logs a complaint about a subject when it is new, and that it is over."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._standing: dict[str, str] = {}

    def say(self, subject: str, text: str) -> None:
        """This is wrong with it."""
        if self._standing.get(subject) != text:
            self._standing[subject] = text
            self._log.warning("%s: %s", subject, text)

    def over(self, subject: str) -> None:
        """Nothing is wrong with it."""
        if self._standing.pop(subject, None) is not None:
            self._log.info("%s: well again", subject)
