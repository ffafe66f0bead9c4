"""The way of a reading: gates, then recorders in one transaction, then observers."""
