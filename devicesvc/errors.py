"""What can go wrong with the registry, in the words of the registry: nothing here knows HTTP."""

from collections.abc import Mapping


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
        super().__init__("; ".join(f"{place} {rule}" for place, rule in errors.items()), errors)


class StoreUnavailable(RegistryError):
    """The store cannot be opened, read or written now; nothing of the change was made unless the text says so."""
