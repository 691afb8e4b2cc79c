import json
from pathlib import Path

import pytest

from mobile_bench.errors import DeviceError, PlacementError
from mobile_bench.placement import Placement, check_placement, read_placement


def write_profile(path: Path, events: list[dict[str, object]]) -> Path:
    path.write_text(json.dumps(events))
    return path


def node(name: str, provider: str, operator: str = "MatMul") -> dict[str, object]:
    return {"cat": "Node", "name": name, "args": {"op_name": operator, "provider": provider}}


def test_nodes_are_counted_once_however_often_they_ran(tmp_path: Path) -> None:
    events = [node("a", "CPU"), node("a", "CPU"), node("b", "CPU", "Add"), node("c", "XNNPACK"), {"cat": "Session"}]
    found = read_placement(write_profile(tmp_path / "p.json", events))
    assert found == Placement(nodes={"CPU": 2, "XNNPACK": 1}, products={"CPU": 1, "XNNPACK": 1})


def test_profile_without_nodes_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PlacementError, match="names no node"):
        read_placement(write_profile(tmp_path / "p.json", [{"cat": "Session"}]))


def test_damaged_profile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("[{")
    with pytest.raises(PlacementError, match="cannot be read"):
        read_placement(tmp_path / "p.json")


def test_provider_without_a_node_is_a_failed_row() -> None:
    with pytest.raises(DeviceError, match="took no node") as found:
        check_placement(
            Placement(nodes={"CPUExecutionProvider": 8}, products={}), "xnnpack", "XnnpackExecutionProvider"
        )
    assert "8 on CPUExecutionProvider" in str(found.value)
    assert found.value.exit_code == 4
