"""What a caller may give as a CDB and as data, checked and made into what a command carries."""

from __future__ import annotations

from midlayer.errors import UsageError
from midlayer.mid.command import Buffer

DEFAULT_TIMEOUT_S = 60.0
_MAX_TRANSFER_BYTES = 256 << 20


def buffers(
    cdb: bytes, data_out: Buffer | None, data_in: bytearray | memoryview | int | None
) -> tuple[Buffer | None, memoryview | None]:
    """Return data_out and data_in as a command carries them.

    Raises:
        UsageError: If the call makes no sense: no CDB, both directions at once, a read-only buffer.
    """
    if not 6 <= len(cdb) <= 260:
        raise UsageError(f"a CDB has 6 to 260 bytes, this one has {len(cdb)}")
    if data_in is not None:
        if data_out is not None:
            raise UsageError("a command moves data one way: give data_out or data_in, not both")
        return None, memoryview(data_in) if type(data_in) is bytearray else _writable(data_in)
    if data_out is not None and type(data_out) is memoryview:
        return _as_bytes(data_out, "data_out"), None
    return data_out, None


def _writable(data_in: bytearray | memoryview | int) -> memoryview:
    if isinstance(data_in, int):
        if not 0 <= data_in < _MAX_TRANSFER_BYTES:
            raise UsageError(
                f"data_in of {data_in} bytes: 0 to {_MAX_TRANSFER_BYTES - 1} can be moved at once"
            )
        return memoryview(bytearray(data_in))
    view = data_in if isinstance(data_in, memoryview) else memoryview(data_in)
    if view.readonly:
        raise UsageError("data_in must be writable, such as a bytearray")
    return _as_bytes(view, "data_in")


def _as_bytes(view: memoryview, name: str) -> memoryview:
    if not view.contiguous:
        raise UsageError(f"{name} must be contiguous")
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")
