"""The gate: degrees Celsius in, degrees Fahrenheit on."""

from __future__ import annotations

from webmacs.pipeline.base import Batch, Gate


class Fahrenheit(Gate):
    """Change the value of every reading."""

    def process(self, batch: Batch) -> None:
        """See `Gate`."""
        batch.readings = [reading._replace(value=reading.value * 1.8 + 32.0) for reading in batch.readings]
