"""The signature of a delivery: Standard Webhooks, and the older header that receivers of WebMACS know.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets as random
from collections.abc import Sequence
from typing import Final

_PREFIX: Final = "whsec_"
_KEY_BYTES: Final = 32


def new_secret() -> str:
    """A secret as the specification has it: `whsec_` and the base64 of 32 random bytes."""
    return _PREFIX + base64.b64encode(random.token_bytes(_KEY_BYTES)).decode()


def sign(delivery_id: str, body: bytes, secrets: Sequence[str], now_s: int) -> dict[str, str]:
    """The headers that say which delivery this is, when it was sent, and by whom.

    `secrets` are those of the receiver, the newest first: two while one takes over from the other. Each gives a
    signature of its own in `webhook-signature`; the older header has room for one, the newest. Without a secret
    nothing is signed.
    """
    headers = {"webhook-id": delivery_id, "webhook-timestamp": str(now_s), "X-Webhook-Timestamp": str(now_s)}
    if secrets:
        stamped = b"%d.%b" % (now_s, body)
        headers["X-Webhook-Signature"] = _hmac(secrets[0].encode(), stamped).hex()
        named = b"%b.%b" % (delivery_id.encode(), stamped)
        signatures = (base64.b64encode(_hmac(_key(secret), named)).decode() for secret in secrets)
        headers["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return headers


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha256)


def _key(secret: str) -> bytes:
    """The bytes of a secret: those that `whsec_` announces as base64, else the text itself.

    A text that begins like that and is no base64, or of nothing, is a text like any other.
    """
    if secret.startswith(_PREFIX):
        encoded = secret.removeprefix(_PREFIX)
        try:
            decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except ValueError:
            decoded = b""
        if decoded:
            return decoded
    return secret.encode()
