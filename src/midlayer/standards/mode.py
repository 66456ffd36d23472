"""Mode parameters (SPC-4 7.5, SBC-3 6.5): what MODE SENSE returns and MODE SELECT sends.

A mode parameter list is a header, block descriptors and pages. `decode_mode_sense` takes it apart;
`encode_mode_parameters` puts it together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from midlayer.layout import DecodeError, Layout, LayoutError, bits, flag, uint

__all__ = [
    "PAGES",
    "CachingPage",
    "ControlPage",
    "InformationalExceptionsPage",
    "LongBlockDescriptor",
    "ModeHeader6",
    "ModeHeader10",
    "ModeParameters",
    "ReadWriteErrorRecoveryPage",
    "ShortBlockDescriptor",
    "SplitPage",
    "decode_mode_sense",
    "encode_mode_parameters",
    "split_pages",
]


class ModeHeader6(Layout, size=4):
    """Mode parameter header(6) (SPC-4 table 450); `mode_data_length` counts what follows it."""

    mode_data_length: int = uint(0)
    medium_type: int = uint(1)
    wp: bool = flag(2, 7)
    dpofua: bool = flag(2, 4)
    block_descriptor_length: int = uint(3)


class ModeHeader10(Layout, size=8):
    """Mode parameter header(10) (SPC-4 table 451); `longlba` says that descriptors have 16 bytes."""

    mode_data_length: int = uint(0, 2)
    medium_type: int = uint(2)
    wp: bool = flag(3, 7)
    dpofua: bool = flag(3, 4)
    longlba: bool = flag(4, 0)
    block_descriptor_length: int = uint(6, 2)


class ShortBlockDescriptor(Layout, size=8):
    """Short LBA mode parameter block descriptor (SBC-3 6.5.2.2)."""

    number_of_logical_blocks: int = uint(0, 4)
    logical_block_length: int = uint(5, 3)


class LongBlockDescriptor(Layout, size=16):
    """Long LBA mode parameter block descriptor (SBC-3 6.5.2.3)."""

    number_of_logical_blocks: int = uint(0, 8)
    logical_block_length: int = uint(12, 4)


class ReadWriteErrorRecoveryPage(Layout, size=12):
    """Page 01h (SBC-3 6.5.9). Here as in every page, PS is zero in MODE SELECT."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x01)
    page_length = uint(1, const=10, strict=False)
    awre: bool = flag(2, 7)
    arre: bool = flag(2, 6)
    tb: bool = flag(2, 5)
    rc: bool = flag(2, 4)
    eer: bool = flag(2, 3)
    per: bool = flag(2, 2)
    dte: bool = flag(2, 1)
    dcr: bool = flag(2, 0)
    read_retry_count: int = uint(3)
    lbpere: bool = flag(7, 7)
    write_retry_count: int = uint(8)
    recovery_time_limit_ms: int = uint(10, 2)


class CachingPage(Layout, size=20):
    """Page 08h (SBC-3 6.5.5); `wce` turns the write cache on, `rcd` turns the read cache off."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x08)
    page_length = uint(1, const=18, strict=False)
    ic: bool = flag(2, 7)
    abpf: bool = flag(2, 6)
    cap: bool = flag(2, 5)
    disc: bool = flag(2, 4)
    size_enable: bool = flag(2, 3)
    wce: bool = flag(2, 2)
    mf: bool = flag(2, 1)
    rcd: bool = flag(2, 0)
    demand_read_retention_priority: int = bits(3, 7, 4)
    write_retention_priority: int = bits(3, 3, 0)
    disable_prefetch_transfer_length: int = uint(4, 2)
    minimum_prefetch: int = uint(6, 2)
    maximum_prefetch: int = uint(8, 2)
    maximum_prefetch_ceiling: int = uint(10, 2)
    fsw: bool = flag(12, 7)
    lbcss: bool = flag(12, 6)
    dra: bool = flag(12, 5)
    sync_prog: int = bits(12, 2, 1)
    nv_dis: bool = flag(12, 0)
    number_of_cache_segments: int = uint(13)
    cache_segment_size: int = uint(14, 2)


class ControlPage(Layout, size=12):
    """Page 0Ah (SPC-4 7.5.8); `swp` is the software write protect, `d_sense` descriptor format sense."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x0A)
    page_length = uint(1, const=10, strict=False)
    tst: int = bits(2, 7, 5)
    tmf_only: bool = flag(2, 4)
    dpicz: bool = flag(2, 3)
    d_sense: bool = flag(2, 2)
    gltsd: bool = flag(2, 1)
    rlec: bool = flag(2, 0)
    queue_algorithm_modifier: int = bits(3, 7, 4)
    nuar: bool = flag(3, 3)
    qerr: int = bits(3, 2, 1)
    rac: bool = flag(4, 6)
    ua_intlck_ctrl: int = bits(4, 5, 4)
    swp: bool = flag(4, 3)
    ato: bool = flag(5, 7)
    tas: bool = flag(5, 6)
    atmpe: bool = flag(5, 5)
    rwwp: bool = flag(5, 4)
    autoload_mode: int = bits(5, 2, 0)
    busy_timeout_period_100ms: int = uint(8, 2)
    extended_self_test_completion_seconds: int = uint(10, 2)


class InformationalExceptionsPage(Layout, size=12):
    """Page 1Ch (SBC-3 6.5.8, SPC-4 7.5.11); the interval is in tenths of a second."""

    ps: bool = flag(0, 7)
    page_code = bits(0, 5, 0, const=0x1C)
    page_length = uint(1, const=10, strict=False)
    perf: bool = flag(2, 7)
    ebf: bool = flag(2, 5)
    ewasc: bool = flag(2, 4)
    dexcpt: bool = flag(2, 3)
    test: bool = flag(2, 2)
    ebackerr: bool = flag(2, 1)
    logerr: bool = flag(2, 0)
    mrie: int = bits(3, 3, 0)
    interval_timer_100ms: int = uint(4, 4)
    report_count: int = uint(8, 4)


AnyModePage = ReadWriteErrorRecoveryPage | CachingPage | ControlPage | InformationalExceptionsPage

# Page code -> class; all of them are subpage 0.
PAGES: dict[
    int,
    type[ReadWriteErrorRecoveryPage]
    | type[CachingPage]
    | type[ControlPage]
    | type[InformationalExceptionsPage],
] = {
    0x01: ReadWriteErrorRecoveryPage,
    0x08: CachingPage,
    0x0A: ControlPage,
    0x1C: InformationalExceptionsPage,
}


class SplitPage(NamedTuple):
    """One page of a list: its codes and all its bytes, header included."""

    page: int
    subpage: int
    data: bytes


def split_pages(data: bytes) -> list[SplitPage]:
    """Cut a run of mode pages apart (SPC-4 7.5.6); a last page that is cut short keeps what is there.

    A page whose SPF bit is set has a subpage code and a 16-bit length. Never raises; fewer bytes than a
    page header are no page.
    """
    pages = []
    at = 0
    while at + 2 <= len(data):
        long_form = data[at] & 0x40
        if long_form and at + 4 > len(data):
            break
        size = 4 + int.from_bytes(data[at + 2 : at + 4], "big") if long_form else 2 + data[at + 1]
        subpage = data[at + 1] if long_form else 0
        pages.append(SplitPage(data[at] & 0x3F, subpage, bytes(data[at : at + size])))
        at += size
    return pages


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeParameters:
    """A mode parameter list taken apart.

    Attributes:
        header: of 4 or 8 bytes.
        block_descriptors: empty if the device sent none.
        pages: every page as bytes, in order.
    """

    header: ModeHeader6 | ModeHeader10
    block_descriptors: tuple[ShortBlockDescriptor | LongBlockDescriptor, ...] = ()
    pages: tuple[SplitPage, ...] = ()

    def find(self, page: int, subpage: int = 0) -> AnyModePage | bytes | None:
        """Return a page as its class, as bytes if it has none here, or None if it is not in the list."""
        for one in self.pages:
            if (one.page, one.subpage) == (page, subpage):
                known = PAGES.get(page) if subpage == 0 else None
                return known.decode(one.data) if known is not None else one.data
        return None


def decode_mode_sense(data: bytes, ten: bool) -> ModeParameters:
    """Take apart what MODE SENSE returned.

    Args:
        data: the parameter data; bytes after its own mode data length are not read.
        ten: the command was MODE SENSE(10), so the header has 8 bytes.

    Raises:
        DecodeError: the header is not wholly there.
    """
    kind: type[ModeHeader6] | type[ModeHeader10] = ModeHeader10 if ten else ModeHeader6
    if len(data) < kind.size:
        raise DecodeError(f"mode parameter list: {len(data)} bytes, {kind.size} needed for the header")
    header = kind.decode(data)
    data = bytes(data[: header.mode_data_length + (2 if ten else 1)])
    pages_at = kind.size + header.block_descriptor_length
    return ModeParameters(
        header=header,
        block_descriptors=_descriptors(data[kind.size : pages_at], header),
        pages=tuple(split_pages(data[pages_at:])),
    )


def _descriptors(
    data: bytes, header: ModeHeader6 | ModeHeader10
) -> tuple[ShortBlockDescriptor | LongBlockDescriptor, ...]:
    """Read the block descriptors that are wholly there."""
    longlba = isinstance(header, ModeHeader10) and header.longlba
    kind: type[ShortBlockDescriptor] | type[LongBlockDescriptor]
    kind = LongBlockDescriptor if longlba else ShortBlockDescriptor
    ends = range(kind.size, len(data) + 1, kind.size)
    return tuple(kind.decode(data[end - kind.size : end]) for end in ends)


def encode_mode_parameters(
    pages: Iterable[AnyModePage | bytes],
    *,
    ten: bool,
    block_descriptors: Iterable[ShortBlockDescriptor | LongBlockDescriptor] = (),
    medium_type: int = 0,
    wp: bool = False,
    dpofua: bool = False,
) -> bytes:
    """Return a mode parameter list whose lengths are right for MODE SENSE.

    MODE SELECT reserves the mode data length: put zero there (byte 0, or bytes 0 and 1) to send it.

    Args:
        pages: layouts, or whole pages as bytes.
        ten: an 8-byte header.
        block_descriptors: all of one kind; long ones need `ten`.
        medium_type: of the header.
        wp: the medium is write protected.
        dpofua: the device knows DPO and FUA.

    Raises:
        LayoutError: the list is too long for its header, or long descriptors have a 4-byte header.
    """
    listed = tuple(block_descriptors)
    longlba = any(isinstance(one, LongBlockDescriptor) for one in listed)
    if longlba and (not ten or any(isinstance(one, ShortBlockDescriptor) for one in listed)):
        raise LayoutError(
            "long block descriptors need a mode parameter header(10) and no short ones beside them"
        )
    blocks = b"".join(one.encode() for one in listed)
    body = blocks + b"".join(one if isinstance(one, bytes) else one.encode() for one in pages)
    if ten:
        return (
            ModeHeader10(
                mode_data_length=len(body) + 6,
                medium_type=medium_type,
                wp=wp,
                dpofua=dpofua,
                longlba=longlba,
                block_descriptor_length=len(blocks),
            ).encode()
            + body
        )
    return (
        ModeHeader6(
            mode_data_length=len(body) + 3,
            medium_type=medium_type,
            wp=wp,
            dpofua=dpofua,
            block_descriptor_length=len(blocks),
        ).encode()
        + body
    )
