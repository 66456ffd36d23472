"""SG_IO on an sg node, the one ioctl that has to be quick."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from midlayer.mid.host import HostState
from midlayer.mid.logical_unit import DeviceState
from midlayer.upper.sg import version_3, version_4
from midlayer.upper.sg.transfer import os_error

if TYPE_CHECKING:
    from midlayer.upper.sg.descriptor import SgFile
    from midlayer.upper.sg.memory import Memory
    from midlayer.upper.sg.parameters import Caller

_DEVICE_RUNS, _HOST_RUNS = DeviceState.RUNNING, HostState.RUNNING


def sg_io(file: SgFile, argument: int, memory: Memory, caller: Caller) -> int:
    """Carry out SG_IO, in either version of the interface.

    Raises:
        OSError: ENODEV and ENXIO, if the device is going away or offline; EFAULT; EINTR; as
            `version_3.start`.
    """
    device = file.device
    if device.detaching:
        raise os_error(errno.ENODEV)
    unit = device.device
    all_is_well = unit.state is _DEVICE_RUNS and unit.host.state is _HOST_RUNS
    if not all_is_well and not device.wait_for_recovery(file.waiting):
        raise os_error(errno.ENXIO)
    if device.parameters.v4_on_sg and version_4.is_version_4(argument, memory):
        return version_4.sg_io(file, argument, memory, caller)
    abi = file.abi
    try:
        data = memory.read(argument, abi.size)
    except OSError:
        file.cmd_q = True
        file.refuse(file.add("S", True))  # a full queue is said before a wild pointer
        raise
    full_access = file.may_read and file.may_write
    request = version_3.start(file, data, memory, True, None if full_access else caller)
    file.send(request)
    forgotten = file.wait(request)
    try:
        memory.write(argument + abi.answer_at, version_3.answer(request, memory))
        if request.transfer is not None:
            request.transfer.deliver(memory)
    finally:
        if not forgotten:
            file.finish(request)
    return 0
