"""WebMACS: sensor readings over one WebSocket, stored, judged and shown live."""

__version__ = "0.1.0"
