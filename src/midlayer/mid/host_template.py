"""The contract between the mid level and a lower-level driver (LLD).

A driver is a subclass of `HostTemplate` with the members and callbacks that it needs, in the kernel's
names (``Documentation/scsi/scsi_mid_low_api``). One instance serves all hosts of the driver; what
belongs to one host goes into ``host.hostdata``, what belongs to one device into ``device.hostdata``.

A host lives like this::

    driver                mid level                 driver
    host_alloc()  ------>
    add_host()    ------>
    scan_host()   ---------+
                           |
                     slave_alloc()
                     slave_configure()  ---->  adjust_queue_depth()
                           |
                     slave_alloc()      (nothing answered at this address)
                     slave_destroy()

    remove_host() ---------+
                           |
                     slave_destroy()    (each device)
    host.put()
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from midlayer.mid.recovery_callbacks import RecoveryCallbacks

if TYPE_CHECKING:
    from midlayer.mid.command import Command
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.nexus import Nexus
    from midlayer.mid.subsystem import Subsystem
    from midlayer.mid.target import Target

DEVICE_BUSY = 0x1056
"""Return value of `queuecommand`: this device has no room; try again when one of its commands ends."""

TARGET_BUSY = 0x1058
"""Return value of `queuecommand`: this target has no room."""

HOST_BUSY = 0x1055
"""Return value of `queuecommand`: the host has no room. Any other non-zero value means the same."""


class HostTemplate(RecoveryCallbacks):
    """Base of all lower-level drivers. Members are copied into each `Host` when it is allocated.

    The callbacks of the error handler are in `RecoveryCallbacks`.
    """

    name: ClassVar[str] = ""
    """REQUIRED. Up to 80 characters, spaces allowed."""

    proc_name: ClassVar[str] = ""
    """REQUIRED. Characters that a file name may have."""

    can_queue: int = 0
    """REQUIRED, at least 1. Commands that the host takes at once."""

    cmd_per_lun: int = 1
    """OPTIONAL. First queue depth of a device."""

    this_id: int = -1
    """OPTIONAL. Target id of the host itself, which is not scanned; -1 if it has none."""

    sg_tablesize: int = 0xFFFF
    """OPTIONAL. Scatter-gather elements in one command; 0 for a single buffer only."""

    max_sectors: int = 1024
    """OPTIONAL. Most 512-byte sectors in one command."""

    max_cmd_len: int = 12
    """OPTIONAL. Longest CDB in bytes; a longer one ends with DID_ABORT and never reaches the driver."""

    max_channel: int = 0
    """OPTIONAL. Highest channel number."""

    max_id: int = 8
    """OPTIONAL. Number of target ids of a channel."""

    max_lun: int = 8
    """OPTIONAL. Number of LUNs of a target."""

    scan_ahead: int = 1
    """OPTIONAL. LUNs of one target that a scan asks at once, where a command takes a while to come back."""

    emulated: bool = False
    """OPTIONAL. True for a bridge to something that is not SCSI."""

    no_scsi2_lun_in_cdb: bool = False
    """OPTIONAL. True keeps LUN bits out of CDB byte 1 for old devices."""

    names_its_devices: bool = False
    """OPTIONAL. True if the driver fills in ``device.names`` itself, as for the kernel's own devices."""

    scans_itself: bool = False
    """OPTIONAL. True if only the driver can find devices, by `user_scan` (the kernel's own hosts)."""

    queuecommand_may_block: bool = False
    """OPTIONAL. True if a command without `on_finished` keeps its thread in `queuecommand` until its end."""

    answers_in_order: bool = False
    """OPTIONAL. True if devices answer what a recording has, in its order: nobody may ask them by the way."""

    unchecked_isa_dma: bool = False
    """OPTIONAL. From the document; nothing depends on it in user space."""

    use_clustering: bool = True
    """OPTIONAL. From the document; nothing depends on it in user space."""

    transportt: object = None
    """OPTIONAL. What a driver has in common with others of its transport; kept for it."""

    vendor_id: int = 0
    """OPTIONAL. Tells the messages of one vendor's driver from those of others; kept for it."""

    def queuecommand(self, command: Command, done: Callable[[Command], None]) -> int:
        """Take one command.

        Status: REQUIRED.
        Context: the thread that submits, or one that completes another command.
        May block: yes, for a driver that completes in the caller's thread; a command that waits for
            something else should be answered by `done` from another thread.
        Locks held: none.
        Returns: 0, after which `done(command)` must be called exactly once, from any thread, before
            this returns or later; or DEVICE_BUSY, TARGET_BUSY, HOST_BUSY, after which it must not.
        Raises:
            NodeError: If the device can not be reached from this process, for want of a node or a right,
                before anything was sent. The submitter gets the error; any other is logged, and the
                command ends with DID_ERROR.
        """
        raise NotImplementedError

    def poll(self, command: Command) -> None:
        """Complete commands that have come back, in the thread of somebody who waits for `command`.

        Status: OPTIONAL. For drivers whose own thread would have to wake that one (the kernel's ``mq_poll``).
        Context: the thread that submitted the command. May block: until the command is over, or less. If
            another thread ends the command, it calls ``command.waiter``, which the driver may wrap.
        Locks held: none.
        """

    def poll_batch(self, command: Command) -> None:
        """The same for somebody who has many commands under way, and will be back for the next in a moment.

        Status: OPTIONAL. For drivers with `scan_ahead`: a scan then asks and takes the answers in one thread.
        Context: a thread that waits. May block: until the command is over, or less. Locks held: none.
        """

    def info(self, host: Host) -> str:
        """Describe a host in one line.

        Status: OPTIONAL. Context: any thread. May block: no. Locks held: none.
        Returns: text; the default is `name`.
        """
        return self.name

    def show_info(self, host: Host) -> str:
        """Say what ``/proc/scsi/<proc_name>/<host_no>`` reads.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        Returns: text of any number of lines, each with its newline; the default is the line of `info`, as
            kernels had it for a driver without a text of its own.
        """
        return f"{self.info(host)}\n"

    def write_info(self, host: Host, data: bytes) -> int:
        """Take what is written to ``/proc/scsi/<proc_name>/<host_no>``.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        Returns: bytes taken, all of them as a rule; or a negative errno. The default is -EINVAL.
        """
        return -errno.EINVAL

    def slave_alloc(self, device: LogicalUnit) -> int:
        """Prepare for commands to a device that may not be there.

        Status: OPTIONAL. Context: a scan. May block: yes. Locks held: the host's scan mutex.
        Returns: 0; or non-zero (an errno) to have the address left alone.
        """
        return 0

    def slave_configure(self, device: LogicalUnit) -> int:
        """Tune a device that answered INQUIRY, before upper-level drivers see it.

        Status: OPTIONAL. Context: a scan. May block: yes. Locks held: the host's scan mutex.
        Returns: 0; or non-zero to have the device dropped (`slave_destroy` is called).
        """
        return 0

    def slave_destroy(self, device: LogicalUnit) -> None:
        """Forget a device; called once for each `slave_alloc` that returned 0.

        Status: OPTIONAL. Context: a scan or a removal. May block: yes. Locks held: the scan mutex.
        """

    def target_alloc(self, target: Target) -> int:
        """Prepare for a target that is about to be scanned.

        Status: OPTIONAL. Context: a scan. May block: yes. Locks held: the scan mutex.
        Returns: 0; or non-zero to have the whole target left alone.
        """
        return 0

    def target_destroy(self, target: Target) -> None:
        """Forget a target that has no more devices.

        Status: OPTIONAL. Context: a scan or a removal. May block: yes. Locks held: the scan mutex.
        """

    def detect(self, subsystem: Subsystem) -> int:
        """Find the hosts of this driver and `register` each (passive initialization model).

        Status: REQUIRED for `midlayer.mid.passive.init_driver`, else not called.
        Context: whoever initializes the driver. May block: yes. Locks held: none.
        Returns: the number of hosts found; 0 if the driver is not wanted.
        """
        return 0

    def scan_start(self, host: Host) -> None:
        """Begin to find devices in the driver's own way, if there is a `scan_finished`.

        Status: OPTIONAL. Context: a scan of the whole host. May block: yes. Locks held: none.
        """

    def scan_finished(self, host: Host, elapsed_s: float) -> bool:
        """Say whether the devices of a host are found; asked every 10 ms.

        Status: OPTIONAL. A driver that has it finds devices itself: the mid level probes no address when
            the host as a whole is scanned for the first time.
        Context: a scan of the whole host. May block: no. Locks held: none.
        Returns: True at the end; `elapsed_s` says how long the scan has lasted.
        """
        return True

    def change_queue_depth(self, device: LogicalUnit, depth: int) -> int:
        """Let a person change a device's queue depth (rule QD-5).

        Status: OPTIONAL; without it the depth can not be changed from outside.
        Context: any thread. May block: yes. Locks held: none.
        Returns: the depth that is in force then, as `midlayer.mid.queue_depth.change_queue_depth`
            returns it; or a negative errno.
        """
        return -errno.EINVAL

    def bios_param(self, device: LogicalUnit, capacity_blocks: int) -> tuple[int, int, int] | None:
        """Say which geometry a PC's BIOS gives a disk.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        Returns: heads, sectors and cylinders; None to have the mid level guess from the partition table.
        """
        return None

    def ioctl(self, device: LogicalUnit, command: int, argument: int) -> int:
        """Answer an ioctl that nobody above knows.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        Returns: 0 or more; or a negative errno. The default is -EINVAL.
        """
        return -errno.EINVAL

    def host_reset(self, host: Host, kind: str) -> int:
        """Reset a host because a person wants it.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        Returns: 0, or a negative errno; `kind` is ``adapter`` or ``firmware``. The default is -EOPNOTSUPP.
        """
        return -errno.EOPNOTSUPP

    def release(self, host: Host) -> None:
        """Let go of what belongs to a host; its last reference is gone.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        """

    def user_scan(self, host: Host, channel: int | None, target: int | None, lun: int | None) -> bool:
        """Scan in the driver's own way; None stands for all.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        Returns: True if the driver has seen to it (the kernel scans its own hosts), False to have the
            mid level scan.
        """
        return False

    def user_remove(self, device: LogicalUnit) -> bool:
        """Remove a device at a person's wish.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        Returns: True if the driver will report the removal itself, False to have the mid level remove it.
        """
        return False

    def user_state(self, device: LogicalUnit, state: str) -> None:
        """Carry ``running`` or ``offline`` to where the device is kept, before our own state changes.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        """

    def nexus_lost(self, device: LogicalUnit, nexus: Nexus) -> None:
        """Forget what an I_T nexus has reserved or prevented; a target calls this when a session ends.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        """

    def in_use(self, device: LogicalUnit) -> str:
        """Say who uses a device outside of this process.

        Status: OPTIONAL. Context: any thread. May block: yes. Locks held: none.
        Returns: text such as ``mounted on /srv``, or an empty string.
        """
        return ""
