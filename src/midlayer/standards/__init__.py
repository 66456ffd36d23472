"""What the T10 standards say, as bytes in and values out.

Nothing here does I/O, keeps state or knows a transport. One module per standard or per subject:

============= ========================================================
sam           status codes and LUN addressing (SAM-5)
opcodes       operation codes, service actions, CDB lengths, CDB texts
sense         sense data, fixed and descriptor format (SPC-4 4.5)
asc           the names of additional sense codes (T10's list)
spc           commands that every device type shares (SPC-4)
sbc           commands of direct access block devices (SBC-3)
vpd           vital product data pages (SPC-4 7.8, SBC-3 6.6)
mode          mode parameter lists and pages (SPC-4 7.5, SBC-3 6.5)
log_pages     log pages (SPC-4 7.3, SBC-3 6.4)
reservations  persistent reservations and TransportIDs (SPC-4 6.15, 7.6)
port_groups   target port groups (SPC-4 6.37, 6.45)
extended_copy EXTENDED COPY and its results (SPC-4 6.4, 6.18 to 6.21)
diagnostic    diagnostics and buffers (SPC-4 6.17, 6.23, 6.43, 6.49)
maintenance   identifying information, task management functions (SPC-4)
ses           diagnostic pages of an enclosure (SES-3)
ses_elements  elements of an enclosure (SES-3)
mmc           commands and data of CD and DVD drives (MMC-6)
smc           commands and data of media changers (SMC-3)
ssc           commands and data of tapes (SSC-4)
sbc_medium    FORMAT UNIT, SANITIZE, READ DEFECT DATA (SBC-3)
============= ========================================================
"""
