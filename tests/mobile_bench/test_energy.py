"""Energy from what phones and hosts really print, and from meters that tell what they are told to."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mobile_bench.energy import energy_of
from mobile_bench.errors import DeviceError
from mobile_bench.phone.energy import parse_gauge, parse_rails
from mobile_bench.power import CounterMeter, GaugeMeter, Watch, rapl_meter

RAILS = """\
============= PowerStats HAL 2.0 state residency ==============
   Some entity        state          100

============= PowerStats HAL 2.0 energy consumers ==============
   CPUCL0     99999.00 mWs
========== End of PowerStats HAL 2.0 energy consumers ==========

============= PowerStats HAL 2.0 energy meter ==============
                           Channel    Cumulative Energy
          [S4M_VDD_CPUCL0]:CPU(LITTLE)        1000.50 mWs
               [S2M_VDD_CPUCL2]:CPU(BIG)        2000.00 mWs
                    [S1M_VDD_MIF]:DDR         500.00 mWs
              [VSYS_PWR_DISPLAY]:Display       70000.00 mWs
                [VSYS_PWR_MODEM]:Cellular       9000.00 mWs
========== End of PowerStats HAL 2.0 energy meter ==========
"""


def test_rails_of_what_computes_are_added_up() -> None:
    assert parse_rails(RAILS) == pytest.approx(3.5005)


@pytest.mark.parametrize("text", ["", "Can't find service", RAILS.partition("energy meter")[0]])
def test_a_phone_without_rails_has_none(text: str) -> None:
    assert parse_rails(text) is None


@pytest.mark.parametrize(
    ("text", "watts"),
    [
        ("-450000\n4000000\n", 1.8),  # Pixel: µA, negative when it discharges
        ("450000\n4000000\n", 1.8),
        ("-450\n4000000\n", 1.8),  # Samsung: mA
        ("0\n4000000\n", None),
        ("4000000\n", None),
        ("", None),
    ],
)
def test_gauge_is_read_in_either_unit_and_sign(text: str, watts: float | None) -> None:
    assert parse_gauge(text) == (None if watts is None else pytest.approx(watts))


def test_energy_of_a_call_is_what_is_drawn_beyond_idling() -> None:
    idle, busy = Watch(seconds=10, joules=5, error_joules=0.3), Watch(seconds=20, joules=50, error_joules=0.8)
    energy = energy_of("fuel-gauge", idle, busy, calls=100)
    assert energy is not None
    assert energy.joules_per_call == pytest.approx((50 - 0.5 * 20) / 100)
    assert energy.error_joules_per_call == pytest.approx((0.8**2 + 0.6**2) ** 0.5 / 100)
    assert (energy.idle_watts, energy.seconds, energy.calls) == (0.5, 20, 100)


def test_energy_within_its_error_is_none() -> None:
    idle, busy = Watch(10, 5.0, 0.5), Watch(10, 5.4, 0.5)
    assert energy_of("fuel-gauge", idle, busy, calls=100) is None


def test_meter_that_stands_still_is_an_error() -> None:
    with pytest.raises(DeviceError, match="stood still"):
        energy_of("rapl", Watch(10, 0.0, 0.1), Watch(10, 0.0, 0.1), calls=10)


def test_counter_gives_its_difference() -> None:
    readings = iter([100.0, 107.0])
    with CounterMeter("rapl", lambda: next(readings), 0.1).watch() as watch:
        pass
    assert (watch.joules, watch.error_joules) == (7.0, 0.1)
    assert watch.seconds > 0


def test_counter_that_goes_backwards_is_an_error() -> None:
    readings = iter([100.0, 3.0])
    watch = CounterMeter("rapl", lambda: next(readings), 0.1).watch()
    with pytest.raises(DeviceError, match="went backwards"), watch:
        pass


def test_gauge_gives_mean_power_over_the_time() -> None:
    read = threading.Event()

    def readings() -> Iterator[float]:
        yield from (1.0, 3.0, 1.0, 3.0)
        read.set()
        while True:
            yield 2.0

    watts = readings()
    with GaugeMeter("fuel-gauge", lambda: next(watts), every_s=0.001).watch() as watch:
        assert read.wait(60)
    assert watch.watts == pytest.approx(2.0)
    assert watch.error_joules > 0


def test_gauge_that_breaks_is_an_error() -> None:
    def broken() -> float:
        raise DeviceError("the phone went away")

    watch = GaugeMeter("fuel-gauge", broken, every_s=0.001).watch()
    with pytest.raises(DeviceError, match="went away"), watch:
        pass


def test_packages_of_a_host_are_added_up_and_missing_ones_are_no_meter(tmp_path: Path) -> None:
    assert rapl_meter(tmp_path) is None
    for number, microjoules in enumerate((3_000_000, 4_000_000)):
        folder = tmp_path / f"intel-rapl:{number}"
        folder.mkdir()
        (folder / "energy_uj").write_text(f"{microjoules}\n")
    meter = rapl_meter(tmp_path)
    assert meter is not None
    assert meter.read_joules() == pytest.approx(7.0)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("not for you")
    assert rapl_meter(tmp_path) is None
