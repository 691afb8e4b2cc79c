import json
from pathlib import Path

import pytest

from mobile_bench.errors import DeviceError, PlacementError
from mobile_bench.placement import CPU, Placement, check_placement, make_placement, read_profile

QNN = "QNNExecutionProvider"


def write_profile(path: Path, events: list[dict[str, object]]) -> Path:
    path.write_text(json.dumps(events))
    return path


def node(name: str, provider: str, operator: str = "MatMul") -> dict[str, object]:
    return {"cat": "Node", "name": name, "args": {"op_name": operator, "provider": provider}}


def test_nodes_are_read_once_however_often_they_ran(tmp_path: Path) -> None:
    events = [node("a", CPU), node("a", CPU), node("b", CPU, "Add"), {"cat": "Session"}]
    assert read_profile(write_profile(tmp_path / "p.json", events)) == {("a", "MatMul", CPU), ("b", "Add", CPU)}


def test_profile_without_nodes_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PlacementError, match="names no node"):
        read_profile(write_profile(tmp_path / "p.json", [{"cat": "Session"}]))


def test_damaged_profile_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("[{")
    with pytest.raises(PlacementError, match="cannot be read"):
        read_profile(tmp_path / "p.json")


ALONE = {("a", "MatMul", CPU), ("b", "Attention", CPU), ("c", "Add", CPU)}


def test_products_are_known_by_what_the_cpu_no_longer_runs() -> None:
    compiled = {("everything", "QNN_1", QNN), ("c", "Add", CPU)}
    assert make_placement(compiled, ALONE) == Placement({CPU: 1, QNN: 1}, products=2, products_on_cpu=0)
    check_placement(make_placement(compiled, ALONE), "qnn", QNN)
    check_placement(make_placement(ALONE, ALONE), "cpu", CPU)


def test_provider_without_a_node_is_a_failed_row() -> None:
    with pytest.raises(DeviceError, match="took no node") as found:
        check_placement(make_placement(ALONE, ALONE), "qnn", QNN)
    assert f"3 on {CPU}" in str(found.value)
    assert found.value.exit_code == 4


def test_provider_without_a_matrix_product_is_a_failed_row() -> None:
    trifles = {("a", "MatMul", CPU), ("b", "Attention", CPU), ("c", "Add", QNN)}
    with pytest.raises(DeviceError, match="took 1 node but none of the 2 matrix products"):
        check_placement(make_placement(trifles, ALONE), "qnn", QNN)
