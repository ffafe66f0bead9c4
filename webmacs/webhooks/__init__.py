"""Webhooks on their way out: the signature, the guard of addresses, one attempt, and who makes it when."""
