"""One file a resource: parse, call, reply. No SQL, no policy."""
