"""4 KiB writes for any iSCSI target, by an initiator that does no more than it has to."""

from __future__ import annotations

import os
import socket
import struct
import time
from itertools import count
from urllib.parse import urlsplit

from midlayer.iscsi.codes import HEADER_BYTES
from midlayer.iscsi.initiator import InitiatorConnection
from midlayer.iscsi.initiator_events import InitiatorTask, SessionBegun, TaskEnded
from midlayer.iscsi.initiator_login import Wishes
from midlayer.standards.sam import lun_to_bytes
from midlayer.standards.sbc import Write16

BLOCK_BYTES = 512
DATA_BYTES = 4096
_PDU_BYTES = HEADER_BYTES + DATA_BYTES
_FINAL_WRITE_SIMPLE = 0xA1
_SCSI_COMMAND, _SCSI_RESPONSE = 0x01, 0x21
_header = struct.Struct(">BBxxI8sIIII16s")
_isids = count(1)


class Writer:
    """A session in which WRITE(16) commands of 4 KiB, with immediate data, are kept under way.

    Args:
        url: ``iscsi://host:port/iqn/lun``.
        blocks: Of the disk.
    """

    def __init__(self, url: str, blocks: int) -> None:
        where = urlsplit(url)
        _, iqn, lun = where.path.split("/")
        self._lun = lun_to_bytes(int(lun))
        self._last_lba = blocks - DATA_BYTES // BLOCK_BYTES
        self._socket = socket.create_connection((where.hostname or "", where.port or 0), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wishes = Wishes(
            "iqn.2026-11.io.midlayer:writer",
            iqn,
            isid=b"\x80" + next(_isids).to_bytes(5, "big"),
            wanted={"InitialR2T": False, "ImmediateData": True},
        )
        self._iscsi = InitiatorConnection(wishes, os.urandom)
        self._until(SessionBegun)
        self._iscsi.submit(InitiatorTask(self._lun, bytes(6), None, None))  # takes a unit attention, if any
        self._cmd_sn = 1 + int.from_bytes(self._iscsi.output[0][24:28], "big")
        self._until(TaskEnded)
        self._lba = 0
        self._pdus = bytearray()

    def close(self) -> None:
        """End the session without a word."""
        self._socket.close()

    def measure(self, depth: int, seconds: float) -> int:
        """Return how many writes ended in a second, with `depth` of them under way."""
        room = bytearray(depth * HEADER_BYTES)
        began = now = time.monotonic()
        waiting, ended, part = depth, 0, 0
        self._send(depth)
        while waiting:
            received = part + self._socket.recv_into(memoryview(room)[part:])
            answers, part = divmod(received, HEADER_BYTES)
            whole = answers * HEADER_BYTES
            assert room[0:whole:HEADER_BYTES] == bytes((_SCSI_RESPONSE,)) * answers
            assert not any(room[3:whole:HEADER_BYTES]), "each of them with GOOD"
            room[:part] = room[whole:received]
            ended += answers
            now = time.monotonic()
            waiting -= answers
            if now - began < seconds:
                self._send(answers)
                waiting += answers
        return int(ended / (now - began))

    def _send(self, commands: int) -> None:
        pdus = self._pdus
        if len(pdus) < commands * _PDU_BYTES:
            pdus = self._pdus = bytearray(commands * _PDU_BYTES)
        for at in range(0, commands * _PDU_BYTES, _PDU_BYTES):
            cdb = b"\x8a\0" + self._lba.to_bytes(8, "big") + _TRANSFER
            flags, number = _FINAL_WRITE_SIMPLE, self._cmd_sn  # which does as a tag, too
            lengths_and_tag = (DATA_BYTES, self._lun, number, DATA_BYTES)
            _header.pack_into(pdus, at, _SCSI_COMMAND, flags, *lengths_and_tag, number, 0, cdb)
            self._cmd_sn = number + 1 & 0x7FFFFFFF
            self._lba = (self._lba + DATA_BYTES // BLOCK_BYTES) % self._last_lba
        self._socket.sendall(memoryview(pdus)[: commands * _PDU_BYTES])

    def _until(self, wanted: type) -> None:
        while True:
            for piece in self._iscsi.take_output():
                self._socket.sendall(piece)
            while (event := self._iscsi.next_event()) is not None:
                if isinstance(event, wanted):
                    return
            received = self._socket.recv_into(self._iscsi.reader.room())
            assert received, "the target closed the connection"
            self._iscsi.reader.received(received)


_TRANSFER = Write16(transfer_length=DATA_BYTES // BLOCK_BYTES).encode()[10:]
