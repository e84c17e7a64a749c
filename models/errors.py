"""Errors that a user can meet. The message says what, where, the value, and what would be right."""

from __future__ import annotations


class OrreryError(Exception):
    """Any error that Orrery raises for a reason outside its own code."""


class ConfigError(OrreryError):
    """A setting is wrong: names the key, its value and what would be right."""


class CapacityError(OrreryError):
    """Something does not fit: names what, how large it is and how much there is."""


class TraceError(OrreryError):
    """A trace or data file is wrong: names file, line, column and value.

    hint: what setting would help, with `{key}` before each name of one: whoever knows where the
    reader's settings stand says so by `under`.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint.replace('{key}', '')}" if hint else message)
        self.message = message
        self.hint = hint

    def under(self, key: str) -> TraceError:
        """The same for a reader whose settings stand under a key."""
        if not self.hint:
            return self
        return TraceError(f"{self.message}; {self.hint.replace('{key}', f'{key}.')}")


class LawBroken(OrreryError):
    """A conservation law or a contract does not hold: names the law and both sides."""


class Stalled(OrreryError):
    """Events ran out with work unfinished. `snapshot` says what was waiting for what."""

    def __init__(self, message: str, snapshot: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.snapshot: dict[str, object] = snapshot or {}
