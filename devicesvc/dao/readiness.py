"""Whether a store can read and write now, for all who ask: the outcome is kept for a moment."""

from threading import Lock
from time import monotonic
from typing import NamedTuple
from weakref import WeakKeyDictionary

from devicesvc.dao.base import Store
from devicesvc.errors import StoreUnavailable

REMEMBERED = 1.0  # seconds for which an outcome is kept


class _Outcome(NamedTuple):
    """What a store has answered: when, and the refusal if it was one."""

    at: float
    refusal: StoreUnavailable | None


_outcomes: WeakKeyDictionary[Store, _Outcome] = WeakKeyDictionary()
_turn = Lock()


def prove(store: Store) -> None:
    """Prove that the store can read and write; one at a time, and not again within REMEMBERED seconds: it writes, and
    many who ask must not slow down the changes. But if a read has found that it is stale, that it could write before is
    no proof. Raises StoreUnavailable."""
    with _turn:
        outcome = _outcomes.get(store)
        is_known = outcome and monotonic() - outcome.at < REMEMBERED and (outcome.refusal or not store.stale_since)
        if not outcome or not is_known:
            refusal = None
            try:
                store.ping()
            except StoreUnavailable as error:
                refusal = error
            outcome = _outcomes[store] = _Outcome(monotonic(), refusal)
    if outcome.refusal:
        raise StoreUnavailable(str(outcome.refusal))
