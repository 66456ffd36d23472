"""Log pages (SPC-4 7.3, SBC-3 6.4): what LOG SENSE returns.

A log page is a header and parameters, each a code, a control byte and a value. `LogPage` takes any page
apart and puts it together; `describe` has words for the parameters that many devices have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from midlayer.layout import DecodeError

__all__ = [
    "LIST_PARAMETER",
    "PAGE_NAMES",
    "LogPage",
    "LogParameter",
    "describe",
    "page_name",
    "supported_pages",
]

LIST_PARAMETER = 0x03
"""Control byte of a parameter that is a list in binary format; a counter has 0."""

SUPPORTED_PAGES = 0x00
ALL_SUBPAGES = 0xFF

# (page, subpage) -> name.
PAGE_NAMES: dict[tuple[int, int], str] = {
    (0x00, 0x00): "supported log pages",
    (0x00, 0xFF): "supported log pages and subpages",
    (0x02, 0x00): "write error counters",
    (0x03, 0x00): "read error counters",
    (0x05, 0x00): "verify error counters",
    (0x06, 0x00): "non-medium errors",
    (0x0C, 0x00): "logical block provisioning",
    (0x0D, 0x00): "temperature",
    (0x0E, 0x00): "start-stop cycle counter",
    (0x10, 0x00): "self-test results",
    (0x11, 0x00): "solid state media",
    (0x15, 0x00): "background scan",
    (0x18, 0x00): "protocol specific port",
    (0x19, 0x00): "general statistics and performance",
    (0x1A, 0x00): "power condition transitions",
    (0x2E, 0x00): "TapeAlert",
    (0x2F, 0x00): "informational exceptions",
}


def page_name(page: int, subpage: int = 0) -> str:
    """Return the name of a log page; one without a name here reads as ``log page 30h`` or ``30h,01h``."""
    known = PAGE_NAMES.get((page, subpage))
    return known or f"log page {page:02x}h" + (f",{subpage:02x}h" if subpage else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogParameter:
    """One parameter (SPC-4 7.3.2.2).

    Attributes:
        code: Parameter code.
        value: Its bytes.
        control: Control byte.
    """

    code: int
    value: bytes
    control: int = 0

    @property
    def number(self) -> int:
        """The value as a big-endian number."""
        return int.from_bytes(self.value, "big")

    def encode(self) -> bytes:
        """Return the parameter."""
        return self.code.to_bytes(2, "big") + bytes((self.control, len(self.value))) + self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """A log page (SPC-4 7.3.2.1). The pages 00h, which have a list of codes, have it as `body`.

    Attributes:
        page, subpage: Page code and subpage code.
        parameters: In the order of their codes.
        body: What follows the header, if it is no list of parameters.
    """

    page: int
    subpage: int = 0
    parameters: tuple[LogParameter, ...] = ()
    body: bytes = b""

    def encode(self) -> bytes:
        """Return the whole page; the values of a device of ours are never saved (DS)."""
        body = self.body + b"".join(parameter.encode() for parameter in self.parameters)
        first = 0x80 | (0x40 if self.subpage else 0) | self.page
        return bytes((first, self.subpage)) + len(body).to_bytes(2, "big") + body

    @classmethod
    def decode(cls, data: bytes) -> LogPage:
        """Read a page, as many parameters as are wholly there.

        Raises:
            DecodeError: the 4-byte header is not there.
        """
        if len(data) < 4:
            raise DecodeError(f"log page: {len(data)} bytes, 4 needed for the header")
        page, subpage = data[0] & 0x3F, data[1] if data[0] & 0x40 else 0
        body = bytes(data[4 : 4 + int.from_bytes(data[2:4], "big")])
        if page == SUPPORTED_PAGES or subpage == ALL_SUBPAGES:
            return cls(page=page, subpage=subpage, body=body)
        parameters, at = [], 0
        while at + 4 <= len(body) and at + 4 + body[at + 3] <= len(body):
            end = at + 4 + body[at + 3]
            code = int.from_bytes(body[at : at + 2], "big")
            parameters.append(LogParameter(code=code, control=body[at + 2], value=body[at + 4 : end]))
            at = end
        return cls(page=page, subpage=subpage, parameters=tuple(parameters))

    @property
    def listed(self) -> list[tuple[int, int]]:
        """Page and subpage codes of a page that lists them."""
        if self.subpage == ALL_SUBPAGES:
            return [(self.body[at] & 0x3F, self.body[at + 1]) for at in range(0, len(self.body) - 1, 2)]
        return [(code & 0x3F, 0) for code in self.body]


def supported_pages(codes: Iterable[tuple[int, int]], *, subpages: bool) -> LogPage:
    """Return page 00h, or 00h,FFh with the subpages (SPC-4 7.3.19, 7.3.20)."""
    listed = sorted(codes)
    if subpages:
        return LogPage(page=0, subpage=ALL_SUBPAGES, body=b"".join(bytes(pair) for pair in listed))
    return LogPage(page=0, body=bytes(page for page, subpage in listed if not subpage))


_COUNTERS = {
    0: "errors corrected without substantial delay",
    1: "errors corrected with possible delays",
    2: "rewrites or rereads",
    3: "errors corrected",
    4: "times a correction algorithm was processed",
    5: "bytes processed",
    6: "uncorrected errors",
}
_START_STOP = {
    1: "year and week of manufacture",
    2: "accounting date",
    3: "specified start-stop cycles",
    4: "start-stop cycles",
    5: "specified load-unload cycles",
    6: "load-unload cycles",
}
_PROVISIONING = {
    1: "available LBA mapping threshold sets",
    2: "used LBA mapping threshold sets",
    3: "available provisioning resources, percent",
}


def _named(names: dict[int, str]) -> Callable[[LogParameter], tuple[str, str]]:
    def describe_one(parameter: LogParameter) -> tuple[str, str]:
        return names.get(parameter.code, f"parameter {parameter.code:04x}h"), str(parameter.number)

    return describe_one


def _temperature(parameter: LogParameter) -> tuple[str, str]:
    name = {0: "temperature", 1: "reference temperature"}.get(parameter.code)
    reading = parameter.value[1] if len(parameter.value) > 1 else 0xFF
    said = "not available" if reading == 0xFF else f"{reading} °C"
    return name or f"parameter {parameter.code:04x}h", said


def _start_stop(parameter: LogParameter) -> tuple[str, str]:
    name, number = _named(_START_STOP)(parameter)
    dated = parameter.code in (1, 2)
    return name, parameter.value.decode("ascii", "replace").strip() if dated else number


def _provisioning(parameter: LogParameter) -> tuple[str, str]:
    name, _ = _named(_PROVISIONING)(parameter)
    return name, str(int.from_bytes(parameter.value[:4], "big"))


def _exceptions(parameter: LogParameter) -> tuple[str, str]:
    if parameter.code or len(parameter.value) < 2:
        return f"parameter {parameter.code:04x}h", parameter.value.hex()
    return "informational exception, ASC/ASCQ", f"{parameter.value[0]:02x}/{parameter.value[1]:02x}"


_DESCRIBERS: dict[tuple[int, int], Callable[[LogParameter], tuple[str, str]]] = {
    (0x02, 0): _named(_COUNTERS),
    (0x03, 0): _named(_COUNTERS),
    (0x05, 0): _named(_COUNTERS),
    (0x06, 0): _named({0: "non-medium errors"}),
    (0x0C, 0): _provisioning,
    (0x0D, 0): _temperature,
    (0x0E, 0): _start_stop,
    (0x2F, 0): _exceptions,
}


def describe(page: LogPage) -> list[tuple[str, str]]:
    """Return name and value of each parameter, for people; what has no words here comes in hexadecimal."""
    describer = _DESCRIBERS.get((page.page, page.subpage))
    if describer is not None:
        return [describer(parameter) for parameter in page.parameters]
    return [(f"parameter {one.code:04x}h", one.value.hex()) for one in page.parameters]
