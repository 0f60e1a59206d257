"""Devices and groups that are hard on a store: every one is valid."""

from typing import Any

from devicesvc.api import examples
from devicesvc.csv_codec.formats import DEVICE_CSV as FORMAT
from devicesvc.model import MAX_NICS, Device, Group, Hardware, Nic, Software
from devicesvc.sample import DEVICES

PLAIN = DEVICES[0]

ADD = examples.ADD  # what a client sends

NIC = Nic("eth", "00:00:00:00:00:01", "0.0.0.0")


def device(id: str = "hard", **changes: object) -> Device:
    """A device that has `changes`, by name or by hardware_model and the like."""
    fields: dict[str, Any] = {
        "name": "n",
        "type": "t",
        "hardware_model": "m",
        "hardware_sn": "s",
        "software_version": "v",
        "software_last_update": "2024-02-29 23:59:59",
        "nic": (),
        "status": "s",
    } | changes
    return Device(
        id=id,
        name=fields["name"],
        type=fields["type"],
        hardware=Hardware(fields["hardware_model"], fields["hardware_sn"]),
        software=Software(fields["software_version"], fields["software_last_update"]),
        nic=fields["nic"],
        status=fields["status"],
    )


def content(devices, format=FORMAT):
    """The CSV file that holds the devices, or other items, in this order."""
    return format.header + b"".join(map(format.encode, devices))


HARD = {
    "Chinese": device(name="设备管理微服务", type="网关", status="在线"),
    "quotes, commas and semicolons": device(name="say \"hi\", twice; or 'once'", hardware_sn='"', status=","),
    "spaces at both ends": device(name="  two  ", hardware_model=" "),
    "a line separator that is no line break in CSV": device(name="a\u2028b\u2029c"),
    "an emoji beyond the first plane, and a combining mark": device(name="📡e\u0301"),
    "what a spreadsheet takes for a formula": device(name="=1+1", hardware_sn="+1", status="@x"),
    "what looks like nothing": device(name="NULL", type="None", status="nan"),
    "the longest fields": device(
        id="x" * 64,
        **dict.fromkeys(("name", "hardware_model", "hardware_sn"), "设" * 64),
        **dict.fromkeys(("type", "software_version", "status"), "备" * 32),
    ),
    "no network interface": device(nic=()),
    "sixteen network interfaces": device(
        nic=tuple(Nic(f"eth{n}", f"00:00:00:00:00:{n:02x}", f"10.0.0.{n}") for n in range(MAX_NICS))
    ),
    "an id of letters and signs": device(id="A.b_c-9"),
}

HARD_GROUPS = {
    "Chinese": Group("g", "一号教室", "管控制器"),
    "quotes, commas and semicolons": Group("g", 'say "hi", twice', "a;b,c"),
    "no description": Group("g", " ", ""),
    "the longest fields": Group("g" * 64, "组" * 64, "述" * 256),
    "what a spreadsheet takes for a formula": Group("g", "=1+1", '"'),
}

# A file as Excel saves it in China, unless somebody chooses "CSV UTF-8".
IN_GBK = content([device(name="一号教室的网关")]).decode().replace("\n", "\r\n").encode("gbk")
