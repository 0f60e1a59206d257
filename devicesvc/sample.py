"""The five devices that a new registry gets. They never change, so the calls of the lab work as printed."""

from devicesvc.model import Device, Hardware, Nic, Software

DEVICES = (
    Device(
        id="4322159209",
        name="classroom-controller",
        type="controller",
        hardware=Hardware("Raspberry Pi 4", "Qm3vK"),
        software=Software("0.3", "2023-05-12 09:30:00"),
        nic=(Nic("eth", "dc:a6:32:1f:04:9b", "192.168.1.10"), Nic("wifi", "dc:a6:32:1f:04:9c", "192.168.1.11")),
        status="online",
    ),
    Device(
        id="5661391086",
        name="greenhouse-gateway",
        type="gateway",
        hardware=Hardware("Raspberry Pi 4", "itOYJ"),
        software=Software("0.3", "2023-05-12 09:45:00"),
        nic=(Nic("wifi", "dc:a6:32:5e:71:20", "192.168.1.20"),),
        status="online",
    ),
    Device(
        id="3635138853",
        name="meter-adapter",
        type="adapter",
        hardware=Hardware("x86 PC", "T8wZe"),
        software=Software("0.1", "2022-11-30 17:05:00"),
        nic=(Nic("eth", "00:1b:21:a3:5c:7e", "192.168.2.30"),),
        status="offline",
    ),
    Device(
        id="5394030919",
        name="rooftop-gateway",
        type="gateway",
        hardware=Hardware("x86 PC", "Lb7Rn"),
        software=Software("0.2", "2023-01-08 08:00:00"),
        nic=(Nic("eth", "00:1b:21:c8:12:40", "192.168.2.40"), Nic("wifi", "00:1b:21:c8:12:41", "192.168.2.41")),
        status="online",
    ),
    Device(
        id="8170245536",
        name="workshop-controller",
        type="controller",
        hardware=Hardware("Raspberry Pi 4", "Hx2Ud"),
        software=Software("0.2", "2023-03-21 14:20:00"),
        nic=(Nic("wifi", "dc:a6:32:90:be:d3", "192.168.1.50"),),
        status="offline",
    ),
)
