"""The mid level: hosts, targets, logical units, and the commands between drivers above and below."""
