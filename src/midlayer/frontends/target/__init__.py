"""The iSCSI target: any logical unit of the subsystem, to any initiator that may see it.

A thread for each connection receives, hands commands to the mid level, and sends what has come back
since. Commands that end later, in other threads, are answered from there under the connection's lock.
"""
