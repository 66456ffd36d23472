"""The passive initialization model: a driver's hosts come and go with the driver.

::

    you                    mid level               driver
    init_driver()  ----------+
                             |
                          detect()  ----------------+
                             |                   register()     each host it finds
                             |
                       each host: add_host(), scan_host()

    exit_driver()  ----------+
                             |
                       each host: remove_host()  slave_destroy()
                             |
                          release()  ------->    unregister()

A driver for hot-plugged hosts calls `Subsystem.host_alloc`, `add_host` and `scan_host` itself instead.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from midlayer.errors import DriverError, NoSuchHost
from midlayer.mid.callbacks import call

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.host_template import HostTemplate
    from midlayer.mid.subsystem import Subsystem

_log = logging.getLogger("midlayer.subsystem")


def register(subsystem: Subsystem, template: HostTemplate, *, host_no: int | None = None) -> Host:
    """Make a host, from within `detect`; the mid level adds and scans it afterwards.

    Raises:
        DeviceExists: If the number is taken.
    """
    host = subsystem.host_alloc(template, host_no=host_no)
    subsystem.passive_hosts.setdefault(template, []).append(host)
    return host


def unregister(host: Host) -> None:
    """Give a registered host up, from within `release`, or from `detect` if it can not be used after all.

    Raises:
        NoSuchHost: If it is not registered (any more).
    """
    registered = host.subsystem.passive_hosts.get(host.template, [])
    if host not in registered:
        raise NoSuchHost(f"host {host.host_no}: it is not registered")
    registered.remove(host)
    host.released = True  # its driver knows
    host.put()


def init_driver(subsystem: Subsystem, template: HostTemplate) -> list[Host]:
    """Have a driver detect its hosts, and bring them up (``init_this_scsi_driver``).

    Returns:
        The hosts.

    Raises:
        NoSuchHost: If the driver has found none.
        DriverError: If its `detect` raises; hosts that it had registered are gone again.
        InvalidRequest: If a host can not be added; none is left then.
    """
    hosts = subsystem.passive_hosts.setdefault(template, [])
    try:
        count = template.detect(subsystem)
    except Exception as error:
        exit_driver(subsystem, template)
        raise DriverError(f"{template.name}: detect raised {type(error).__name__}: {error}") from error
    if count != len(hosts):
        _log.error("%s: detect returned %d, and registered %d hosts", template.name, count, len(hosts))
    if not hosts:
        del subsystem.passive_hosts[template]
        raise NoSuchHost(f"{template.name}: no host was detected")
    try:
        for host in list(hosts):
            subsystem.add_host(host)
            subsystem.scan_new_host(host)
    except BaseException:
        exit_driver(subsystem, template)
        raise
    return list(hosts)


def exit_driver(subsystem: Subsystem, template: HostTemplate) -> None:
    """Take all hosts of a driver down (``exit_this_scsi_driver``)."""
    hosts = subsystem.passive_hosts.get(template, [])
    for host in list(hosts):
        subsystem.remove_host(host)
    for host in list(hosts):
        host.released = True
        call(template.release, host)
        if host in hosts:  # the driver has left that to us
            unregister(host)
    subsystem.passive_hosts.pop(template, None)
