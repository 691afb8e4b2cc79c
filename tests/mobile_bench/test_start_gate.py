from collections.abc import Iterable

import pytest

from mobile_bench.errors import BenchError, DeviceError
from mobile_bench.phone.start_gate import GateSettings, not_ready, wait_until_ready
from mobile_bench.record import Conditions
from odllm_artifact import silent

READY = Conditions(temperature_c=30.0, thermal_status="none", battery_percent=80.0, charging=False)


def state(**changes: object) -> Conditions:
    fields = {name: getattr(READY, name) for name in READY.__struct_fields__}
    return Conditions(**(fields | changes))  # type: ignore[arg-type]


class Phone:
    """A phone that changes with every look, and a clock that goes on by what is slept."""

    def __init__(self, states: Iterable[Conditions]) -> None:
        self.states, self.now = list(states), 0.0

    def look(self) -> Conditions:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def wait(self, settings: GateSettings | None = None) -> float:
        wait_until_ready(self.look, settings or GateSettings(), silent, clock=lambda: self.now, sleep=self.sleep)
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_ready_phone_is_not_waited_for() -> None:
    assert Phone([READY]).wait() == 0.0


def test_a_hot_phone_is_waited_for() -> None:
    hot = state(temperature_c=50.0)
    assert Phone([hot, hot, state(thermal_status="light"), READY]).wait() == 15.0


def test_a_phone_that_stays_hot_is_given_up_with_words() -> None:
    with pytest.raises(DeviceError, match=r"it is 50\.0 °C warm, 42 at most are wanted, after 20 s"):
        Phone([state(temperature_c=50.0)]).wait(GateSettings(cool_down_s=20))


def test_an_empty_phone_is_waited_for_only_on_a_charger() -> None:
    empty = state(battery_percent=10.0)
    with pytest.raises(DeviceError, match=r"battery is at 10 %.*after 0 s"):
        Phone([empty]).wait()
    assert Phone([state(battery_percent=10.0, charging=True), READY]).wait() == 5.0


def test_what_is_not_told_keeps_nothing_waiting() -> None:
    nothing = Conditions(temperature_c=None, thermal_status=None, battery_percent=None, charging=None)
    assert not_ready(nothing, GateSettings()) is None


def test_settings_without_sense_are_refused() -> None:
    with pytest.raises(BenchError, match="cool_down_s is -1"):
        GateSettings(cool_down_s=-1)
