"""Phones whose times count, on a phone that is this host."""

import shutil

import local_phone
import native_kits
import pytest
from bench_settings import QUICK

from mobile_bench import power
from mobile_bench.cell import make_cells
from mobile_bench.compare import paired_ratio
from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.host import measure_cells, require_records
from mobile_bench.phone.phones import PhonePlan, measure_phones
from mobile_bench.phone.start_gate import GateSettings
from mobile_bench.phone.target import PhoneTarget
from mobile_bench.protocol import Settings
from odllm_export.errors import BundleError

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    native_kits.host_kit()
    return tmp_path / "phone"


@pytest.fixture
def adb(folder):
    return local_phone.make_local_phone(folder)


def test_cells_on_a_phone_are_timed_side_by_side(adb, bundle, golden_bundle):
    target = PhoneTarget.of(adb.device("local"))
    one, other = require_records(measure_cells(make_cells([bundle, golden_bundle], ["cpu"], [1], target=target), QUICK))
    assert one.device.device_kind == "phone"
    assert (one.device.model, one.device.architecture, one.device.python) == ("here", "host", None)
    assert paired_ratio(one, other).rounds >= 3
    assert one.phases is not None
    assert other.agreement.equal_lists == 2
    assert one.conditions[0].thermal_status == "none"


def test_phone_that_is_hot_is_waited_for_and_given_up(adb, folder, bundle):
    local_phone.set_thermal_status(folder, 2)
    target = PhoneTarget.of(adb.device("local"), gate=GateSettings(cool_down_s=0))
    results = measure_cells(make_cells([bundle], ["cpu"], [1], target=target), QUICK)
    assert not results.records
    assert "thermal status moderate" in results.failures[0].reason


def test_time_of_a_phone_that_grew_hot_is_not_to_be_quoted(adb, folder, bundle, monkeypatch):
    target = PhoneTarget.of(adb.device("local"))
    ready = target.get_ready

    def get_ready(progress):
        ready(progress)
        local_phone.set_thermal_status(folder, 3)

    monkeypatch.setattr(PhoneTarget, "get_ready", lambda self, progress: get_ready(progress))
    (record,) = require_records(measure_cells(make_cells([bundle], ["cpu"], [1], target=target), QUICK))
    assert any("thermal status severe" in reason for reason in record.validity.reasons)


def test_energy_is_measured_by_the_batterys_gauge_but_not_on_a_charger(adb, folder, monkeypatch):
    device = adb.device("local")
    meter = PhoneTarget.of(device).energy_meter()
    assert isinstance(meter, power.GaugeMeter)
    assert meter.read_watts() == pytest.approx(2.0)
    (folder / "battery").write_text("  level: 80\n  status: 2\n")
    assert PhoneTarget.of(device).energy_meter() is None


def test_constant_power_is_no_energy_of_a_call(adb, bundle, monkeypatch):
    """The gauge of this phone always says the same: what calls draw beyond idling is within the error."""
    settings = Settings(**{name: getattr(QUICK, name) for name in QUICK.__struct_fields__} | {"energy_seconds": 2.5})
    target = PhoneTarget.of(adb.device("local"))
    (record,) = require_records(measure_cells(make_cells([bundle], ["cpu"], [1], target=target), settings))
    assert record.energy is None


def test_one_phone_that_goes_away_does_not_end_the_other(adb, folder, tmp_path, bundle):
    """Both are asked through one adb; the second is unplugged before the run begins."""
    other = local_phone.make_local_phone(tmp_path / "other")
    (tmp_path / "other" / "unplugged").touch()
    switch = tmp_path / "switch"
    switch.write_text(f'#!/bin/sh\ncase "$2" in gone) exec {other.program} "$@";; *) exec {adb.program} "$@";; esac\n')
    switch.chmod(0o755)
    both = type(adb)(str(switch))
    seen = []
    results = measure_phones(
        both, ["local", "gone"], PhonePlan([bundle], settings=QUICK), lambda done, total, note="": seen.append(note)
    )
    assert [record.device.model for record in results.records] == ["here"]
    assert [failure.reason.split(" ")[0] for failure in results.failures] == ["gone"]
    assert any(note.startswith("local: round") for note in seen)


def test_transport_and_abi_must_be_known(adb, folder, bundle):
    with pytest.raises(BenchError, match="transport 'usb'"):
        PhoneTarget.of(adb.device("local"), "usb")
    shutil.copy(folder / "bin" / "getprop", folder / "bin" / "getprop.old")
    (folder / "bin" / "getprop").write_text("#!/bin/sh\necho '[ro.product.cpu.abi]: [mips]'\n")
    with pytest.raises(DeviceError, match="no runner for ABI 'mips'"):
        PhoneTarget.of(adb.device("local"))


def test_damaged_bundle_ends_the_run(adb, golden_bundle, tmp_path):
    folder = shutil.copytree(golden_bundle, tmp_path / "damaged")
    (folder / "catalog.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"catalog\.bin"):
        measure_phones(adb, ["local"], PhonePlan([folder], settings=QUICK))
