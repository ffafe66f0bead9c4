"""A plugin for WebMACS: a DS18B20 thermometer, and the relay of a fan or heater beside it."""
