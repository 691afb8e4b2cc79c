"""What phones print, as real ones print it."""

import pytest

from mobile_bench.phone.facts import (
    PhoneFacts,
    parse_cpu_model,
    parse_fields,
    parse_properties,
    parse_temperatures,
    parse_zones,
)

PROPERTIES = """\
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.cpu.abi]: [arm64-v8a]
[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 8]
[ro.soc.manufacturer]: [Google]
[ro.soc.model]: [Tensor G3]
[persist.sys.locale]: []
"""

THERMAL = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=BIG, mStatus=0}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=46.25, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=33.1, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=38.4, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
\tTemperature{mValue=-99.9, mType=6, mName=TYPE_POWER_AMPLIFIER, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
Temperature static thresholds from HAL:
\tTemperatureThreshold{mType=0, mName=BIG, mHotThrottlingThresholds=[NaN], mValue=120.0, mType=0}
"""

BATTERY = """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  status: 2
  level: 83
  voltage: 4283
  temperature: 287
"""

CPUINFO = """\
processor\t: 0
CPU implementer\t: 0x41
CPU part\t: 0xd46

processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd46

processor\t: 2
CPU implementer\t: 0x41
CPU part\t: 0xfff
"""


def facts(properties: str) -> PhoneFacts:
    return PhoneFacts("x", parse_properties(properties), "8× Cortex-A55", 8, None, 1 << 33)


def test_properties_make_model_system_and_abi() -> None:
    phone = facts(PROPERTIES)
    assert (phone.model, phone.os, phone.abi, phone.kind) == (
        "Google Pixel 8",
        "Android 14 (SDK 34)",
        "arm64-v8a",
        "phone",
    )


@pytest.mark.parametrize(("abi", "kind"), [("arm64-v8a", "emulated-arm64"), ("x86_64", "emulator")])
def test_an_emulator_is_no_phone(abi: str, kind: str) -> None:
    assert facts(f"[ro.kernel.qemu]: [1]\n[ro.product.cpu.abi]: [{abi}]").kind == kind
    assert facts(f"[ro.boot.qemu]: [1]\n[ro.product.cpu.abi]: [{abi}]").kind == kind


def test_a_phone_that_tells_nothing_has_no_facts() -> None:
    phone = facts("")
    assert (phone.model, phone.os, phone.abi, phone.kind) == (None, "Linux", "", "phone")


def test_only_the_temperatures_of_now_count_and_only_of_processor_and_battery() -> None:
    assert parse_temperatures(THERMAL) == [46.25, 33.1]
    assert parse_temperatures("Can't find service: thermalservice") == []


def test_zones_are_in_thousandths_or_not_and_others_do_not_count() -> None:
    text = "cpu-1-0-usr 45200\nbattery 31\nmodem0-usr 60000\nsoc_thermal broken\nBIG -40000"
    assert parse_zones(text) == [45.2, 31.0, -40.0]


def test_first_value_of_a_field_counts() -> None:
    fields = parse_fields(BATTERY + "  level: 1\n")
    assert (fields["level"], fields["temperature"], fields["status"]) == ("83", "287", "2")


def test_cores_are_counted_by_kind() -> None:
    assert parse_cpu_model(CPUINFO) == "2× Cortex-A510, 1× part 0xfff"
    assert parse_cpu_model("Hardware\t: Qualcomm SM8550\n") == "Qualcomm SM8550"
    assert parse_cpu_model("") is None
