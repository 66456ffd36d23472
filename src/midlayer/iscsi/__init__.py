"""iSCSI (RFC 7143, RFC 7144) without I/O: bytes in, events and bytes out, for both roles.

======================  ======================================================================
`serial`                sequence numbers that wrap
`pdu`, `codes`          every PDU header as a layout, every code as an enumeration
`reader`                cutting a stream of bytes into PDUs, with digests, without copies
`text`, `negotiation`   key=value text; each key as a row of a table
`chap`, `digest`        authentication and CRC32C
`names`                 iqn, eui and naa names, ISIDs, TransportIDs
`state`                 connection states as a table
`login`                 what both sides of a login share
`target_login`          the target's side of a login
`initiator_login`       the initiator's side of a login
`connection`            what both roles share after it
`target`                a connection as the target has it
`initiator`             a connection as the initiator has it
======================  ======================================================================

Sockets, threads and time are in `midlayer.frontends.target` and in the initiator's driver. Nothing here
waits, and nothing here is safe against two threads at once: the caller brings the lock.
"""
