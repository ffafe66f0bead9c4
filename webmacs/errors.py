"""The one tree of errors. Imports nothing of ours."""

from __future__ import annotations


class WebmacsError(Exception):
    """Base of everything this package raises on purpose. `str()` is fit for a person."""


class ConfigError(WebmacsError):
    """The configuration cannot be used; the text names the key, the value and the mend."""


class AuthError(WebmacsError):
    """A credential was refused. `reason` is the exact text of the specification, sent as is."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidMessage(WebmacsError):
    """A gate refuses a whole message. `str()` is what the sender is told.

    `batch_id` is the identity the sender gave, if it could be read.
    """

    def __init__(self, message: str, batch_id: str | None = None) -> None:
        super().__init__(message)
        self.batch_id = batch_id


class DeviceError(WebmacsError):
    """A device cannot be reached, read or written; the text says which, why and the mend."""


class SpoolError(WebmacsError):
    """Readings cannot be kept in the spool; the text names the directory, why and the mend."""


class Unwanted(WebmacsError):
    """A server refuses what a controller sends, and will never take it. `str()` is the server's reason."""


class Overloaded(WebmacsError):
    """There has been no room in the queue for too long; the sender may try again later."""


class TooOften(WebmacsError):
    """Somebody asks, or fails, more often than is allowed; in `retry_after_s` it may be tried again."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ShuttingDown(Overloaded):
    """The server is stopping and takes no more batches."""


class StorageError(WebmacsError):
    """Something went wrong in the storage. Driver errors never leave `webmacs.storage` undressed."""


class StorageUnavailable(StorageError):
    """The storage cannot be reached, is full, locked or too slow: the same request may succeed later.

    A write that raised this may or may not have happened.
    """


class InvalidRows(StorageError):
    """The rows themselves are at fault; nothing was stored, and trying again would not help."""


class Conflict(StorageError):
    """A unique name or key is taken already."""


class NotFound(StorageError):
    """There is no such thing."""
