"""A model of a small plant: a heated reactor through which gas flows, from a supply to a valve. Pure.

Gas comes from the supply through a restriction into the chamber, takes up heat in the reactor and leaves through the
valve. With the valve closed the chamber fills up to the pressure of the supply; opened, gas flows and cools. Each
quantity goes exponentially to what it would be at last if the others stood still: so a step is stable however long it
is, and none leaves the range between where it was and where it goes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

AMBIENT_C: Final = 22.0
HEATER_K: Final = 400.0  # how much above ambient a full heater brings the reactor, without gas
THERMAL_S: Final = 60.0  # time constant of the reactor, without gas
GAS_PER_M3H: Final = 0.1  # heat that 1 m³/h takes per kelvin, over what the walls lose per kelvin
EXCHANGE: Final = 0.6  # how near gas that hardly flows comes to the reactor's temperature
EXCHANGE_HALF_M3H: Final = 60.0  # the flow at which it comes half as near
RECOVERED: Final = 0.15  # of the outlet's heat, what the inlet gets back
SENSOR_S: Final = 5.0
SUPPLY_BAR: Final = 5.0
RESTRICTION: Final = 14.0  # m³/h per root of a bar, from the supply
VALVE: Final = 17.8  # the same, of the valve when it is open
FILL_S: Final = 8.0
ORIFICE_MBAR: Final = 100.0  # pressure over the measuring orifice at
ORIFICE_M3H: Final = 40.0
HUMID_PERCENT: Final = 60.0
DRY_PERCENT: Final = 8.0
DRYING_K: Final = 60.0  # by so much warmer, e times as dry
FLUSH_M3H: Final = 10.0
HUMIDITY_S: Final = 15.0
STEP_S: Final = 0.25
MAX_STEPS: Final = 400


@dataclass(frozen=True, slots=True)
class Inputs:
    """What people set, both in percent."""

    heater: float = 0.0
    valve: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """The plant at one moment: °C, bar above ambient, % relative humidity."""

    reactor_c: float = AMBIENT_C
    inlet_c: float = AMBIENT_C
    outlet_c: float = AMBIENT_C
    chamber_bar: float = 0.0
    humidity: float = HUMID_PERCENT


def flow(state: State, inputs: Inputs) -> float:
    """Gas through the valve, in m³/h."""
    return VALVE * inputs.valve / 100 * math.sqrt(state.chamber_bar)


def orifice_mbar(volume_flow: float) -> float:
    """What the measuring orifice loses at that flow."""
    return ORIFICE_MBAR * (volume_flow / ORIFICE_M3H) ** 2


def advance(state: State, inputs: Inputs, seconds: float) -> State:
    """The plant so much later, with the inputs as they are."""
    steps = min(math.ceil(seconds / STEP_S), MAX_STEPS)
    for _ in range(steps):
        state = _step(state, inputs, seconds / steps)
    return state


def heat_balance(state: State, inputs: Inputs) -> float:
    """What the heater gives, less what walls and gas take, over what a full heater gives: 0 when nothing changes."""
    lost = state.reactor_c - AMBIENT_C + _gas(flow(state, inputs)) * (state.reactor_c - state.inlet_c)
    return inputs.heater / 100 - lost / HEATER_K


def _step(state: State, inputs: Inputs, seconds: float) -> State:
    out = (VALVE * inputs.valve / 100) ** 2
    full = SUPPLY_BAR * RESTRICTION**2 / (RESTRICTION**2 + out)  # as much comes in as goes out
    chamber = _towards(state.chamber_bar, full, seconds / FILL_S)
    volume = flow(replace(state, chamber_bar=chamber), inputs)

    gas = _gas(volume)
    hot = (AMBIENT_C + HEATER_K * inputs.heater / 100 + gas * state.inlet_c) / (1 + gas)
    reactor = _towards(state.reactor_c, hot, seconds * (1 + gas) / THERMAL_S)

    leaving = state.inlet_c + _exchanged(volume) * (reactor - state.inlet_c)
    outlet = _towards(state.outlet_c, leaving, seconds / SENSOR_S)
    inlet = _towards(state.inlet_c, AMBIENT_C + RECOVERED * (outlet - AMBIENT_C), seconds / SENSOR_S)

    flushed = volume / (volume + FLUSH_M3H)
    moist = HUMID_PERCENT * math.exp(-max(outlet - AMBIENT_C, 0.0) / DRYING_K)
    humidity = _towards(state.humidity, moist + (DRY_PERCENT - moist) * flushed, seconds / HUMIDITY_S)
    return State(reactor, inlet, outlet, chamber, humidity)


def _exchanged(volume_flow: float) -> float:
    return EXCHANGE / (1 + volume_flow / EXCHANGE_HALF_M3H)


def _gas(volume_flow: float) -> float:
    """Heat that the gas takes per kelvin between reactor and inlet, over what the walls lose."""
    return GAS_PER_M3H * volume_flow * _exchanged(volume_flow)


def _towards(now: float, last: float, time_constants: float) -> float:
    return last + (now - last) * math.exp(-time_constants)
