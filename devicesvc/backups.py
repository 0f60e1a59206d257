"""The folder of backups: their names, which tell when each was made, and which of them are kept.

A backup is a folder with CSV files, called by its time in UTC: the order of the names is that of the times. Nothing
else in the folder is a backup.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from devicesvc.errors import Invalid

NAME = "devicesvc-%Y-%m-%dT%H-%M-%SZ"

_PERIODS: Mapping[str, Callable[[datetime], object]] = {
    "d": lambda made: made.date(),
    "w": lambda made: made.isocalendar()[:2],  # weeks begin on Monday
    "m": lambda made: (made.year, made.month),
}
_RULE = re.compile(rf"([1-9][0-9]{{0,3}})([{''.join(_PERIODS)}])")


def time_of(name: str) -> datetime | None:
    """When the backup of this name was made; None if this is not exactly the name of a backup."""
    try:
        made = datetime.strptime(name, NAME).replace(tzinfo=UTC)
    except ValueError:
        return None
    return made if made.strftime(NAME) == name else None  # strptime also takes other spellings


def find(folder: Path) -> list[datetime]:
    """The times of all backups in a folder, oldest first. Raises OSError."""
    with os.scandir(folder) as entries:
        made = [time_of(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(time for time in made if time)


def parse_rule(text: str) -> dict[str, int]:
    """Read how many backups are kept, such as 7d,4w,12m: the number of days, weeks and months, by letter. Raises
    Invalid."""
    found = [_RULE.fullmatch(part) for part in text.split(",")]
    rule = {part[2]: int(part[1]) for part in found if part}
    if len(rule) != len(found):
        words = "must name numbers of days, weeks and months, each once, such as 7d,4w,12m"
        raise Invalid({"keep": f"{words}, not {text!r}"})
    return rule


def kept(made: Iterable[datetime], rule: Mapping[str, int]) -> set[datetime]:
    """Which backups a rule keeps: the newest of each of the last days, weeks and months that have one.

    Days without a backup do not count: if no backup is made for a month, the old ones stay.
    """
    times, chosen = sorted(made), set[datetime]()
    for letter, count in rule.items():
        newest = {_PERIODS[letter](time): time for time in times}  # of each period, the last one stays
        chosen.update(sorted(newest.values())[-count:])
    return chosen
