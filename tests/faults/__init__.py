"""Breaking it on purpose: real databases, processes, links and peers that fail while readings come."""
