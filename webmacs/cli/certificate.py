"""How long a TLS certificate is good for: found by a handshake in memory, as the standard library reads no dates."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

MAX_FLIGHTS: Final = 10
_EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def valid_until(server: ssl.SSLContext, certificate: Path) -> float | None:
    """When the certificate that a server shows ends, in seconds since the epoch; None: it has.

    `certificate` is the file it was loaded from, and all that is trusted.

    Raises:
        ssl.SSLError: it cannot be used for another reason.

    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there)
    sides = [ours, server.wrap_bio(there, back, server_side=True)]
    for _ in range(MAX_FLIGHTS):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                if error.verify_code == _EXPIRED:
                    return None
                raise
            sides.remove(side)
    shown = ours.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
