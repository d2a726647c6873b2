"""An operator is told once a minute, and of each cause by itself."""

from __future__ import annotations

from runtime.recovery.alarm import Alarms


def test_an_alarm_is_said_at_once_and_again_after_a_minute_only() -> None:
    alarms = Alarms()
    assert [alarms.due("a", t) for t in (0.0, 1.0, 59.9, 60.0, 60.1)] == [True, False, False, True, False]


def test_each_cause_has_its_own() -> None:
    alarms = Alarms()
    assert (alarms.due("a", 0.0), alarms.due("b", 0.0)) == (True, True)
