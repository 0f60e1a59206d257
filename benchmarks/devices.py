"""The devices that all programs serve."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

from devicesvc.csv_codec.formats import DEVICE_CSV
from devicesvc.model import Device, Hardware, Nic, Software


def make_devices(number: int) -> list[Device]:
    """Devices with texts as long as in a real registry: always the same, and fewer are the first of more."""
    dice = random.Random(0)
    return [
        Device(
            id=str(10**9 + place * 5_700_000_011 % (9 * 10**9)),  # scattered, no two the same
            name=f"{dice.choice(['greenhouse', 'workshop', 'rooftop', 'classroom'])}-{place}",
            type=dice.choice(["controller", "gateway", "adapter"]),
            hardware=Hardware(dice.choice(["Raspberry Pi 4", "x86 PC"]), dice.randbytes(4).hex()),
            software=Software(f"1.{dice.randrange(20)}", f"2023-08-{dice.randint(1, 28):02} 20:00:00"),
            nic=tuple(
                Nic(kind, dice.randbytes(6).hex(":"), f"192.168.{dice.randrange(256)}.{dice.randrange(256)}")
                for kind in ("eth", "wifi")[: dice.randint(1, 2)]
            ),
            status=dice.choice(["online", "offline"]),
        )
        for place in range(number)
    ]


def as_csv(devices: Iterable[Device]) -> bytes:
    """A whole device.csv."""
    return DEVICE_CSV.header + b"".join(map(DEVICE_CSV.encode, devices))


def write_ids(path: Path, devices: Sequence[Device]) -> Path:
    """Write the ids in random order, each in a line, and return the path."""
    path.write_text("".join(f"{device.id}\n" for device in random.Random(0).sample(devices, len(devices))))
    return path
