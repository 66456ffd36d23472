"""INQUIRY data and VPD pages, judged by sg_inq and sg_vpd of Debian's sg3-utils (1.46)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midlayer.standards import vpd
from midlayer.standards.designators import Association, CodeSet, Designator, DesignatorType
from midlayer.standards.spc import StandardInquiry

pytestmark = pytest.mark.tools

Judge = Callable[..., str]
HexFile = Callable[[bytes], str]

# sysfs attribute `inquiry` of a scsi_debug disk, Linux 6.1; the first 64 bytes.
INQUIRY = bytes.fromhex(
    "00 00 07 02 5b 00 10 0a 4c 69 6e 75 78 20 20 20 73 63 73 69 5f 64 65 62 75 67 20 20 20 20 20 20"
    "30 31 39 31 32 30 32 31 30 35 32 30 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 c0 05 c0 06 00"
)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_standard_inquiry(judge: Judge, hex_file: HexFile) -> None:
    data = StandardInquiry(
        peripheral_qualifier=1,
        peripheral_device_type=5,
        rmb=True,
        version=6,
        response_data_format=2,
        additional_length=91,
        normaca=True,
        sccs=True,
        tpgs=2,
        protect=True,
        multip=True,
        cmdque=True,
        t10_vendor_identification="MIDLAYER",
        product_identification="virtual disk",
        product_revision_level="1.0",
    ).encode_sized()
    printed = judge("sg_inq", f"--inhex={hex_file(data)}")
    assert "PQual=1  PDT=5  RMB=1  LU_CONG=0  hot_pluggable=0  version=0x06  [SPC-4]" in printed
    assert "NormACA=1  HiSUP=0  Resp_data_format=2" in printed
    assert "SCCS=1  ACC=0  TPGS=2  3PC=0  Protect=1  [BQue=0]" in printed
    assert "EncServ=0  MultiP=1 (VS=0)" in printed
    assert "[Linked=0]  [TranDis=0]  CmdQue=1" in printed
    assert "length=96 (0x60)   Peripheral device type: cd/dvd" in printed
    assert "Vendor identification: MIDLAYER" in printed
    assert "Product identification: virtual disk" in printed
    assert "Product revision level: 1.0" in printed


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("hisup", "HiSUP=1"),
        ("acc", "ACC=1"),
        ("threepc", "3PC=1"),
        ("encserv", "EncServ=1"),
        ("addr16", "Addr16=1"),
        ("wbus16", "WBus16=1"),
        ("sync", "Sync=1"),
        ("linked", "Linked=1"),
        ("reladr", "RelAdr=1"),
        ("bque", "BQue=1"),
        ("mchngr", "MChngr=1"),
        ("aerc", "AERC=1"),
        ("lu_cong", "LU_CONG=1"),
        ("qas", "QAS=1"),
        ("ius", "IUS=1"),
    ],
)
def test_every_other_bit_is_where_the_judge_reads_it(
    judge: Judge, hex_file: HexFile, field: str, shown: str
) -> None:
    data = StandardInquiry(version=5, additional_length=91).replace(**{field: True}).encode_sized()
    printed = judge("sg_inq", f"--inhex={hex_file(data)}")
    assert shown in printed
    assert printed.count("=1 ") + printed.count("=1]") + printed.count("=1\n") == 1


def test_both_read_scsi_debug_alike(judge: Judge, hex_file: HexFile) -> None:
    value = StandardInquiry.decode(INQUIRY)
    printed = judge("sg_inq", f"--inhex={hex_file(INQUIRY)}")
    assert f"Vendor identification: {value.vendor}" in printed
    assert f"Product identification: {value.product}" in printed
    assert f"Product revision level: {value.revision}" in printed
    assert value.multip
    assert "MultiP=1" in printed


def test_supported_pages(judge: Judge, hex_file: HexFile) -> None:
    page = vpd.SupportedVpdPages(pages=(0x00, 0x80, 0x83, 0xB0)).encode()
    assert lines(judge("sg_vpd", "--page=sv", f"--inhex={hex_file(page)}")) == [
        "Supported VPD pages VPD page:",
        "Supported VPD pages [sv]",
        "Unit serial number [sn]",
        "Device identification [di]",
        "Block limits (SBC) [bl]",
    ]


def test_unit_serial_number(judge: Judge, hex_file: HexFile) -> None:
    page = vpd.UnitSerialNumber(serial=b"MID0001").encode()
    assert "Unit serial number: MID0001" in judge("sg_vpd", "--page=sn", f"--inhex={hex_file(page)}")


def test_device_identification(judge: Judge, hex_file: HexFile) -> None:
    naa = Designator(
        code_set=CodeSet.BINARY,
        designator_type=DesignatorType.NAA,
        identifier=bytes.fromhex("6001405abcdef0123456789abcdef012"),
    )
    t10 = Designator(
        code_set=CodeSet.ASCII, designator_type=DesignatorType.T10_VENDOR_ID, identifier=b"MIDLAYERabc"
    )
    port = Designator(
        code_set=CodeSet.BINARY,
        designator_type=DesignatorType.RELATIVE_TARGET_PORT,
        association=Association.TARGET_PORT,
        piv=True,
        protocol_identifier=5,
        identifier=bytes([0, 0, 0, 1]),
    )
    page = vpd.DeviceIdentification(designators=(naa, t10, port)).encode()
    assert lines(judge("sg_vpd", "--page=di", f"--inhex={hex_file(page)}"))[1:] == [
        "Addressed logical unit:",
        "designator type: NAA,  code set: Binary",
        f"0x{naa.hex}",
        "designator type: T10 vendor identification,  code set: ASCII",
        "vendor id: MIDLAYER",
        "vendor specific: abc",
        "Target port:",
        "designator type: Relative target port,  code set: Binary",
        "transport: Internet SCSI (iSCSI)",
        "Relative target port: 0x1",
    ]


def test_extended_inquiry(judge: Judge, hex_file: HexFile) -> None:
    page = vpd.ExtendedInquiry(
        activate_microcode=1,
        spt=1,
        grd_chk=True,
        ref_chk=True,
        uask_sup=True,
        headsup=True,
        simpsup=True,
        wu_sup=True,
        nv_sup=True,
        v_sup=True,
        p_i_i_sup=True,
        luiclr=True,
        r_sup=True,
        cbcs=True,
        multi_i_t_nexus_microcode_download=2,
        extended_self_test_completion_minutes=12,
        poa_sup=True,
        maximum_supported_sense_data_length=252,
    ).encode()
    printed = lines(judge("sg_vpd", "--page=ei", f"--inhex={hex_file(page)}"))
    assert printed[1:9] == [
        "ACTIVATE_MICROCODE=1 SPT=1 GRD_CHK=1 APP_CHK=0 REF_CHK=1",
        "UASK_SUP=1 GROUP_SUP=0 PRIOR_SUP=0 HEADSUP=1 ORDSUP=0 SIMPSUP=1",
        "WU_SUP=1 [CRD_SUP=0] NV_SUP=1 V_SUP=1",
        "NO_PI_CHK=0 P_I_I_SUP=1 LUICLR=1",
        "LU_COLL_TYPE=0 R_SUP=1 RTD_SUP=0 HSSRELEF=0 [CBCS=1]",
        "Multi I_T nexus microcode download=2",
        "Extended self-test completion minutes=12",
        "POA_SUP=1 HRA_SUP=0 VSA_SUP=0 DMS_VALID=0",
    ]
    assert "Maximum supported sense data length=252" in printed


def test_block_limits(judge: Judge, hex_file: HexFile) -> None:
    page = vpd.BlockLimits(
        wsnz=True,
        maximum_compare_and_write_length=1,
        optimal_transfer_length_granularity=2,
        maximum_transfer_length=3,
        optimal_transfer_length=4,
        maximum_prefetch_length=5,
        maximum_unmap_lba_count=6,
        maximum_unmap_block_descriptor_count=7,
        optimal_unmap_granularity=8,
        ugavalid=True,
        unmap_granularity_alignment=9,
        maximum_write_same_length=10,
        maximum_atomic_transfer_length=11,
        atomic_alignment=12,
        atomic_transfer_length_granularity=13,
        maximum_atomic_transfer_length_with_atomic_boundary=14,
        maximum_atomic_boundary_size=15,
    ).encode()
    assert lines(judge("sg_vpd", "--page=bl", f"--inhex={hex_file(page)}"))[1:] == [
        "Write same non-zero (WSNZ): 1",
        "Maximum compare and write length: 1 blocks",
        "Optimal transfer length granularity: 2 blocks",
        "Maximum transfer length: 3 blocks",
        "Optimal transfer length: 4 blocks",
        "Maximum prefetch transfer length: 5 blocks",
        "Maximum unmap LBA count: 6",
        "Maximum unmap block descriptor count: 7",
        "Optimal unmap granularity: 8 blocks",
        "Unmap granularity alignment valid: true",
        "Unmap granularity alignment: 9",
        "Maximum write same length: 0xa blocks",
        "Maximum atomic transfer length: 11 blocks",
        "Atomic alignment: 12",
        "Atomic transfer length granularity: 13",
        "Maximum atomic transfer length with atomic boundary: 14 blocks",
        "Maximum atomic boundary size: 15 blocks",
    ]


def test_block_device_characteristics(judge: Judge, hex_file: HexFile) -> None:
    page = vpd.BlockDeviceCharacteristics(
        medium_rotation_rate=7200,
        product_type=1,
        wabereq=1,
        wacereq=2,
        nominal_form_factor=3,
        zoned=1,
        fuab=True,
        vbuls=True,
        depopulation_time_seconds=77,
    ).encode()
    assert lines(judge("sg_vpd", "--page=bdc", f"--inhex={hex_file(page)}"))[1:] == [
        "Nominal rotation rate: 7200 rpm",
        "Product type: CFast",
        "WABEREQ=1",
        "WACEREQ=2",
        "Nominal form factor: 2.5 inch",
        "ZONED=1  [host-aware]",
        "RBWZ=0",
        "BOCS=0",
        "FUAB=1",
        "VBULS=1",
        "DEPOPULATION_TIME=77 (seconds)",
    ]


def test_logical_block_provisioning(judge: Judge, hex_file: HexFile) -> None:
    page = vpd.LogicalBlockProvisioning(
        threshold_exponent=1,
        lbpu=True,
        lbpws=True,
        lbprz=1,
        anc_sup=True,
        minimum_percentage=3,
        provisioning_type=2,
        threshold_percentage=9,
    ).encode()
    assert lines(judge("sg_vpd", "--page=lbpv", f"--inhex={hex_file(page)}"))[1:] == [
        "Unmap command supported (LBPU): 1",
        "Write same (16) with unmap bit supported (LBPWS): 1",
        "Write same (10) with unmap bit supported (LBPWS10): 0",
        "Logical block provisioning read zeros (LBPRZ): 1",
        "Anchored LBAs supported (ANC_SUP): 1",
        "Threshold exponent: 1",
        "Descriptor present (DP): 0",
        "Minimum percentage: 3",
        "Provisioning type: 2 (thin provisioned)",
        "Threshold percentage: 9",
    ]
