"""The keys by which the two sides of a connection know each other, and the file that holds them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from adaptive_scheduler._common.trusted import read_trusted
from adaptive_scheduler.errors import ConnectionLostError


class KeyPair(msgspec.Struct, frozen=True):
    """A Curve25519 key pair in Z85."""

    public: str
    secret: str

    @classmethod
    def new(cls) -> KeyPair:
        """Make a key pair that nobody has seen."""
        import zmq

        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())


class Connection(msgspec.Struct, frozen=True):
    """What a job must know to reach the manager: the contents of ``connection.json``."""

    addresses: tuple[str, ...]
    manager_key: str
    job_keys: KeyPair

    @classmethod
    def read(cls, path: Path) -> Connection:
        """Read a connection file.

        Raises
        ------
        UntrustedFileError
            Another user may have written or read it.
        ConnectionLostError
            It is damaged.
        OSError
            It can't be opened.
        """
        return cls.from_json(read_trusted(path, private=True))

    @classmethod
    def from_json(cls, text: bytes) -> Connection:
        """Read the connection file's text."""
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConnectionLostError(f"The connection file can't be read: {error}.") from error

    def to_json(self) -> bytes:
        """Return the connection file's text."""
        return msgspec.json.format(msgspec.json.encode(self))
