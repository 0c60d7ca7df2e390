"""The bytes of a pack: one file of many blobs, each readable by itself.

Layout, with integers in little endian:

===========  ====================================================================
header       52 bytes: magic and version (8 bytes), size of the file (u64), number
             of blobs (u64), length of the environment (u64), length of the fnames
             (u64), checksums of these two (u32 each), of the header so far (u32)
table        for each blob 20 bytes: offset (u64), length (u64), checksum (u32)
blobs        one after the other
environment  JSON, an object
fnames       JSON, a list with one item for each blob
===========  ====================================================================

Checksums are CRC-32. A pack never changes: another file takes its place. Only its owner
can read and write it, whatever the umask.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from adaptive_scheduler._common.atomic import atomic_write
from adaptive_scheduler._common.trusted import open_trusted
from adaptive_scheduler.errors import RunFolderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_MAGIC = b"ASPACK\x00\x02"
_HEADER = struct.Struct("<8s4Q2I")
_CHECKSUM = struct.Struct("<I")
_ENTRY = struct.Struct("<QQI")
_TABLE_START = _HEADER.size + _CHECKSUM.size


def write_blobs(
    path: str | Path,
    environment: Callable[[], dict[str, Any]],
    fnames: list[Any],
    blobs: Iterable[bytes],
) -> int:
    """Write a pack with one blob for each of `fnames`, and return its size.

    The blobs are taken one by one, so that memory stays flat. The environment
    is asked for after the last one.
    """
    table = bytearray()
    with atomic_write(path, "wb", permissions=0o600) as file:
        file.seek(_TABLE_START + _ENTRY.size * len(fnames))
        for blob in blobs:
            table += _ENTRY.pack(file.tell(), len(blob), zlib.crc32(blob))
            file.write(blob)
        sections = [json.dumps(section).encode() for section in (environment(), fnames)]
        file.writelines(sections)
        size: int = file.tell()
        header = _HEADER.pack(
            _MAGIC, size, len(fnames), *map(len, sections), *map(zlib.crc32, sections)
        )
        file.seek(0)
        file.write(header + _CHECKSUM.pack(zlib.crc32(header)) + table)
    return size


@contextmanager
def open_pack(path: Path, *, trust: bool = False) -> Iterator[PackFile]:
    """Open a pack as it is now; it stays so until the block ends.

    Raises
    ------
    RunFolderError
        There is no such file, or it is no pack, or not whole.
    UntrustedFileError
        Another user may have written it, and `trust` is not set.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_trusted(path, trust=trust))
        except FileNotFoundError as error:
            raise RunFolderError(f"There are no learners: {path} does not exist.") from error
        except OSError as error:
            raise RunFolderError(f"{path} can't be opened: {error.strerror}.") from error
        yield PackFile(path, file.fileno())


class PackFile:
    """An open pack."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        header = self._read(0, _HEADER.size)
        (checksum,) = _CHECKSUM.unpack(self._read(_HEADER.size, _CHECKSUM.size))
        fields = _HEADER.unpack(header)
        magic, size, n_blobs, *self._lengths, self._crc_environment, self._crc_fnames = fields
        self.n_blobs: int = n_blobs
        if magic != _MAGIC:
            kind = "of another version" if magic[:7] == _MAGIC[:7] else "no pack of learners"
            raise RunFolderError(f"{path} is {kind}. {_WAY_OUT}")
        if checksum != zlib.crc32(header) or size != os.fstat(descriptor).st_size:
            raise self._damaged()
        self._sections_start = size - sum(self._lengths)

    @property
    def environment_checksum(self) -> int:
        """What tells one environment from another."""
        checksum: int = self._crc_environment
        return checksum

    def environment(self) -> Any:
        """Return the environment."""
        return self._json(self._sections_start, self._lengths[0], self._crc_environment)

    def fnames(self) -> Any:
        """Return the fnames."""
        start = self._sections_start + self._lengths[0]
        return self._json(start, self._lengths[1], self._crc_fnames)

    def blob(self, index: int) -> bytes:
        """Return one blob.

        Raises
        ------
        IndexError
            There is no such blob.
        """
        if not 0 <= index < self.n_blobs:
            raise IndexError(f"{self._path} has learners 0 to {self.n_blobs - 1}, not {index}.")
        entry = self._read(_TABLE_START + _ENTRY.size * index, _ENTRY.size)
        return self._checked(*_ENTRY.unpack(entry))

    def _json(self, offset: int, length: int, checksum: int) -> Any:
        return json.loads(self._checked(offset, length, checksum))

    def _checked(self, offset: int, length: int, checksum: int) -> bytes:
        content = self._read(offset, length)
        if zlib.crc32(content) != checksum:
            raise self._damaged()
        return content

    def _read(self, offset: int, length: int) -> bytes:
        if offset + length > os.fstat(self._descriptor).st_size:
            raise self._damaged()
        content = bytearray()
        while len(content) < length:
            part = self._read_once(offset + len(content), length - len(content))
            if not part:
                raise self._damaged()
            content += part
        return bytes(content)

    def _read_once(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise RunFolderError(f"{self._path} can't be read: {error.strerror}.") from error

    def _damaged(self) -> RunFolderError:
        return RunFolderError(f"{self._path} is damaged or not whole. {_WAY_OUT}")


_WAY_OUT = "Start the run again, in the same run folder: that writes it anew and loses no data."
