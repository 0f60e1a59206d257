"""Writes the table of all calls that the READMEs show: make api-table"""

import logging
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from devicesvc.app import create_app
from devicesvc.dao.urls import open_store

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- api table: made by make api-table -->\n\n", "\n<!-- end of api table -->"

CHINESE = {
    "get_devices": "查询设备",
    "add_devices": "添加设备",
    "update_devices": "修改设备",
    "delete_devices": "删除设备",
    "get_device": "读取一台设备",
    "put_device": "添加或替换一台设备",
    "patch_device": "修改一台设备",
    "delete_device": "删除一台设备",
    "patch_devices": "修改符合条件的所有设备",
    "get_counts": "按取值统计设备",
    "batch_devices": "一次添加、修改、删除多台设备",
    "import_devices": "从 CSV 文件添加和修改设备",
    "get_groups": "查询分组",
    "add_groups": "添加分组",
    "update_groups": "修改分组",
    "delete_groups": "删除分组",
    "get_group": "读取一个分组",
    "put_group": "添加或替换一个分组",
    "patch_group": "修改一个分组",
    "delete_group": "删除一个分组",
    "get_devices_of_group": "查询分组中的设备",
    "add_devices_to_group": "把设备加入分组",
    "set_devices_of_group": "设定分组中的设备",
    "remove_devices_from_group": "把设备移出分组",
    "get_device_of_group": "读取分组中的一台设备",
    "put_device_into_group": "把一台设备加入分组",
    "remove_device_from_group": "把一台设备移出分组",
    "get_groups_of_device": "查询设备所在的分组",
    "add_groups_to_device": "把设备加入多个分组",
    "set_groups_of_device": "设定设备所在的分组",
    "remove_groups_from_device": "把设备移出多个分组",
    "get_group_of_device": "读取设备所在的一个分组",
    "put_group_onto_device": "把设备加入一个分组",
    "remove_group_from_device": "把设备移出一个分组",
    "get_changes": "查询更改，或等待新的更改",
    "get_change": "读取一次更改",
    "undo_change": "撤销一次更改",
    "get_history_of_device": "查询一台设备的更改历史",
    "get_history_of_group": "查询一个分组的更改历史",
    "is_alive": "进程是否存活",
    "is_ready": "服务能否读写",
    "get_metrics": "服务的各项指标",
}

HEADINGS = {"README.md": ("path", "calls"), "README.zh-CN.md": ("路径", "调用")}


def main() -> None:
    logging.getLogger("devicesvc").setLevel(logging.ERROR)  # no word about tokens: nobody can reach this service
    document = openapi()
    for readme in HEADINGS:
        path = ROOT / readme
        path.write_text(renewed(path.read_text("utf-8"), document, readme), "utf-8")


def openapi() -> dict[str, Any]:
    """The OpenAPI document of the service in this folder."""
    with tempfile.TemporaryDirectory() as folder, open_store(f"{folder}/device.csv") as store:
        return create_app(store=store).test_client().get("/openapi.json").json


def renewed(text: str, document: Mapping[str, Any], readme: str) -> str:
    """The text of the README, with the table of this document."""
    rows = "".join(
        f"| {path} | {calls} |\n" for path, calls in [HEADINGS[readme], ("---", "---"), *_rows(document, readme)]
    )
    text, tables = re.subn(f"{BEGIN}.*?{END}", lambda _: BEGIN + rows + END, text, flags=re.DOTALL)
    if tables != 1:
        raise SystemExit(f"{readme} must have one line {BEGIN.strip()} and, below it, one line {END.strip()}.")
    return text


def _rows(document: Mapping[str, Any], readme: str) -> Iterator[tuple[str, str]]:
    """Each path, and what can be done there."""
    summaries = _summaries(document, readme)
    for path, methods in document["paths"].items():
        calls = [(method, each["operationId"]) for method, each in methods.items() if method != "parameters"]
        yield f"`{path}`", " · ".join(f"`{method.upper()}` {summaries[id]}" for method, id in calls)


def _summaries(document: Mapping[str, Any], readme: str) -> Mapping[str, str]:
    """The summary of each operation, by its id, in the language of the README."""
    operations = [each for path in document["paths"].values() for name, each in path.items() if name != "parameters"]
    english = {each["operationId"]: each["summary"] for each in operations}
    if missing := english.keys() - CHINESE:
        raise SystemExit(f"CHINESE in docs/api_table.py needs a Chinese summary of {', '.join(sorted(missing))}.")
    if unknown := CHINESE.keys() - english:
        raise SystemExit(f"CHINESE in docs/api_table.py has {', '.join(sorted(unknown))}: there is no such operation.")
    return english if readme == "README.md" else CHINESE


if __name__ == "__main__":
    main()
