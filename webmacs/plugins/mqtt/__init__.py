"""`mqtt`: topics of an MQTT broker as channels."""
