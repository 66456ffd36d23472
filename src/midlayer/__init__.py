"""midlayer: the Linux SCSI subsystem in user space."""
