"""The device side: from sensors to a server, through every outage. Knows the server by what goes over the wire alone.

For scripts of one's own, `client.connect`; for devices with plugins, `agent.Agent`, which is `webmacs controller`.
"""
