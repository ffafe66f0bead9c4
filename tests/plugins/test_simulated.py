"""The simulated plant: its model as a pure function, and as a device."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmacs.errors import ConfigError
from webmacs.plugins import reactor
from webmacs.plugins.conformance import DeviceContract
from webmacs.plugins.reactor import Inputs, State, advance, flow, heat_balance
from webmacs.plugins.simulated import Simulated, SimulatedConfig

PERCENT = st.floats(0, 100)
INPUTS = st.builds(Inputs, heater=PERCENT, valve=PERCENT)
STATES = st.builds(
    State,
    reactor_c=st.floats(22, 430),
    inlet_c=st.floats(22, 90),
    outlet_c=st.floats(22, 290),
    chamber_bar=st.floats(0, 5),
    humidity=PERCENT,
)
SECONDS = st.floats(0, 1e6)


class TestSimulated(DeviceContract):
    device_class = Simulated


# -- the model -------------------------------------------------------------------------------------------------------


@given(state=STATES, turns=st.lists(st.tuples(INPUTS, SECONDS), max_size=5))
def test_no_course_of_things_leaves_the_ranges_of_the_channels(state: State, turns: list[tuple[Inputs, float]]) -> None:
    ranges = {channel.channel_id: channel for channel in Simulated.description.channels}
    for inputs, seconds in turns:
        state = advance(state, inputs, seconds)
        volume = flow(state, inputs)
        for name, value in {
            "temp_reactor": state.reactor_c,
            "temp_inlet": state.inlet_c,
            "temp_outlet": state.outlet_c,
            "pressure_chamber": state.chamber_bar,
            "pressure_diff": reactor.orifice_mbar(volume),
            "volume_flow": volume,
            "humidity": state.humidity,
        }.items():
            assert math.isfinite(value)
            assert ranges[name].min_value <= value <= ranges[name].max_value, name


@given(inputs=INPUTS, seconds=st.floats(1, 60))
def test_a_heater_warms_a_cold_reactor_the_more_the_higher_it_is(inputs: Inputs, seconds: float) -> None:
    warmed = advance(State(), inputs, seconds).reactor_c
    stronger = advance(State(), Inputs(inputs.heater / 2 + 50, inputs.valve), seconds).reactor_c
    assert warmed >= reactor.AMBIENT_C - 1e-9
    assert stronger >= warmed - 1e-9
    if inputs.heater > 1:
        assert warmed > reactor.AMBIENT_C


@given(state=STATES, valve=PERCENT, seconds=st.floats(1, 600))
def test_without_heat_everything_cools_towards_ambient(state: State, valve: float, seconds: float) -> None:
    cooled = advance(state, Inputs(0.0, valve), seconds)
    hottest = max(state.reactor_c, state.inlet_c, state.outlet_c)
    assert max(cooled.reactor_c, cooled.inlet_c, cooled.outlet_c) <= hottest + 1e-9
    last = advance(state, Inputs(0.0, valve), 3600)
    assert max(last.reactor_c, last.inlet_c, last.outlet_c) < reactor.AMBIENT_C + 0.5


@given(inputs=INPUTS)
def test_at_last_as_much_heat_is_lost_as_the_heater_gives(inputs: Inputs) -> None:
    last = State()
    for _ in range(40):
        last = advance(last, inputs, 100)
    assert abs(heat_balance(last, inputs)) < 1e-3
    assert astuple(advance(last, inputs, 100)) == pytest.approx(astuple(last), abs=0.01)


@given(heater=st.floats(10, 100), valve=st.floats(0, 80))
def test_more_gas_cools(heater: float, valve: float) -> None:
    less, more = (advance(State(), Inputs(heater, opened), 1_000) for opened in (valve, valve + 20))
    assert flow(more, Inputs(heater, valve + 20)) > flow(less, Inputs(heater, valve))
    assert more.reactor_c < less.reactor_c


@given(state=STATES, inputs=INPUTS, seconds=st.floats(0.01, 20))
def test_time_that_passes_in_two_parts_is_the_same_time(state: State, inputs: Inputs, seconds: float) -> None:
    once = advance(state, inputs, seconds)
    twice = advance(advance(state, inputs, seconds / 2), inputs, seconds / 2)
    assert astuple(twice) == pytest.approx(astuple(once), abs=1.0)


def test_no_time_changes_nothing() -> None:
    assert advance(State(), Inputs(100, 100), 0.0) == State()


def test_a_person_sees_it_within_a_minute() -> None:
    heated = advance(State(), Inputs(100, 0), 30)
    assert heated.reactor_c > 150
    opened = advance(heated, Inputs(100, 100), 15)
    assert opened.chamber_bar < heated.chamber_bar - 1
    assert advance(heated, Inputs(0, 100), 60).reactor_c < 80


# -- the device ------------------------------------------------------------------------------------------------------


class Watch:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def course(config: SimulatedConfig, *, demo: bool = False, heater: float | None = 80.0) -> list[float]:
    """The reactor's temperature each second, for three minutes."""
    watch = Watch()
    device = Simulated(config, demo=demo, monotonic=watch)
    if heater is not None:
        await device.write("heater_power", heater)
    found = []
    for _ in range(180):
        watch.now += 1.0
        found += [sample.value for sample in await device.read(["temp_reactor"])]
    return found


async def test_what_is_set_acts_on_what_is_measured() -> None:
    assert (await course(SimulatedConfig()))[-1] > 200
    assert max(await course(SimulatedConfig(), heater=0.0)) < 25


async def test_a_seed_makes_the_same_noise_and_none_makes_another() -> None:
    seeded = [await course(SimulatedConfig(seed=7)) for _ in range(2)]
    assert seeded[0] == seeded[1]
    assert await course(SimulatedConfig(seed=8)) != seeded[0]
    assert await course(SimulatedConfig()) != await course(SimulatedConfig())


async def test_without_noise_it_is_the_model() -> None:
    state = State()
    for value in await course(SimulatedConfig(noise=0.0)):
        state = advance(state, Inputs(80.0, 0.0), 1.0)
        assert value == pytest.approx(state.reactor_c, abs=0.001)


async def test_time_may_pass_faster() -> None:
    slow, fast = [await course(SimulatedConfig(noise=0.0, speed=speed)) for speed in (1.0, 10.0)]
    assert fast[9] == pytest.approx(slow[99], abs=0.5)


async def test_noise_does_not_leave_the_range_of_the_channel() -> None:
    watch = Watch()
    device = Simulated(SimulatedConfig(seed=1, noise=100.0), monotonic=watch)
    values = [next(iter(await device.read(["pressure_chamber"]))).value for _ in range(200)]
    assert min(values) == 0.0
    assert max(values) <= 6.0
    assert len(set(values)) > 10


async def test_in_demo_mode_it_heats_by_itself_until_somebody_sets_something() -> None:
    alone = await course(SimulatedConfig(noise=0.0), demo=True, heater=None)
    assert max(alone) > 100
    assert alone[118] < max(alone) - 20  # it has cooled
    assert max(await course(SimulatedConfig(noise=0.0), demo=True, heater=0.0)) < 23


async def test_a_clock_that_goes_back_is_no_time() -> None:
    watch = Watch()
    device = Simulated(SimulatedConfig(noise=0.0), monotonic=watch)
    await device.write("heater_power", 100.0)
    watch.now = -1e9
    assert [sample.value for sample in await device.read(["temp_reactor"])] == [22.0]


@pytest.mark.parametrize("config", ['{"speed": 0}', '{"speed": 1e9}', '{"noise": -1}', '{"seed": "x"}', "[]"])
def test_an_impossible_configuration_is_refused(config: str) -> None:
    with pytest.raises(ConfigError):
        Simulated.configured(config)
