"""What the T10 standards say, as bytes in and values out.

Nothing here does I/O, keeps state or knows a transport. One module per standard or per subject:

========== ===========================================================
sam        status codes and LUN addressing (SAM-5)
opcodes    operation codes, service actions, CDB lengths, CDB texts
sense      sense data, fixed and descriptor format (SPC-4 4.5)
asc        the names of additional sense codes (T10's list)
spc        commands that every device type shares (SPC-4)
sbc        commands of direct access block devices (SBC-3)
vpd        vital product data pages (SPC-4 7.8, SBC-3 6.6)
mode       mode parameter lists and pages (SPC-4 7.5, SBC-3 6.5)
========== ===========================================================
"""
