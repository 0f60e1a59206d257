"""What can go wrong with the registry, in the words of the registry: nothing here knows HTTP."""

from collections.abc import Mapping
from itertools import islice

MAX_FAULTS = 100  # that a refusal names
MAX_TOLD = 5  # of these, that its sentence names
MAX_SHOWN = 60  # characters of a value


class RegistryError(Exception):
    """Any refusal of the registry; its text is one sentence for the person who asked.

    errors: the rule that is broken, by the place at fault, such as "nic.0.mac" or "line 3, column nic_mac".
    """

    def __init__(self, sentence: str, errors: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.errors = dict(errors or {})


class NotFound(RegistryError):
    """There is no such item."""


class Conflict(RegistryError):
    """The change contradicts what is stored, such as an id or a name that is taken."""


class Invalid(RegistryError):
    """Values that break a rule of model.py."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(in_words(errors), errors)


class StoreUnavailable(RegistryError):
    """The store cannot be opened, read or written now; nothing of the change was made unless the text says so."""


def in_words(errors: Mapping[str, str]) -> str:
    """The rules that are broken, by place, as a sentence without its full stop: the first MAX_TOLD, and how many more
    there are. Who has found MAX_FAULTS need not look for more, so then there may be more than these."""
    told = "; ".join(f"{place} {rule}" for place, rule in islice(errors.items(), MAX_TOLD))
    if len(errors) <= MAX_TOLD:
        return told
    return f"{told}; and {'at least ' if len(errors) >= MAX_FAULTS else ''}{len(errors) - MAX_TOLD:,} more"


def shown(value: object) -> str:
    """A value that a client gave, as messages show it: at most MAX_SHOWN characters, however large it is."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    given = repr(value[: MAX_SHOWN + 1] if isinstance(value, str) else value)
    return given if len(given) <= MAX_SHOWN else given[: MAX_SHOWN - 3] + "..."
