/* The interface of /dev/scsimon, version 1.
 *
 * Every member is as wide as it says, in the byte order of the machine, at a multiple of its own size: 32-bit and
 * 64-bit programs see the same. Members named `reserved` are 0. Texts end with a zero byte and are cut to fit;
 * a byte of a device that does not print is a space. What a program sets is marked "in".
 *
 *   read(2)   events after the file's position, whole `struct scsimon_event`s; waits for one, or EAGAIN with
 *             O_NONBLOCK; EINVAL if there is no room for one. The position is, at the open, the last event.
 *   poll(2)   POLLIN when there is an event after the position.
 *   ioctl(2)  0, or -1 with errno. Every answer has the event count that its data belongs to.
 */
#ifndef SCSIMON_H
#define SCSIMON_H

#include <stdint.h>
#include <sys/ioctl.h>

#define SCSIMON_NODE "/dev/scsimon"
#define SCSIMON_INTERFACE 1

struct scsimon_status {
    uint64_t event_count;  /* of the last event */
    uint64_t oldest_event; /* that can still be read */
    uint32_t interface;    /* SCSIMON_INTERFACE */
    uint32_t locks;        /* see SCSIMON_LOCK_MOD */
    uint32_t attached;     /* elements of the three lists */
    uint32_t detached;
    uint32_t hosts;
    uint32_t reserved;
};

/* A device that is, or was, attached. */
struct scsimon_device {
    uint64_t attach_event;     /* names this stay of the device, for ever */
    uint64_t detach_event;     /* 0 while it is attached */
    uint64_t attached_boot_us; /* microseconds since boot */
    uint64_t detached_boot_us;
    uint64_t attached_wall_us; /* microseconds since 1970-01-01 UTC */
    uint64_t detached_wall_us;
    uint64_t lun;
    uint32_t host;
    uint32_t bus;
    uint32_t target;
    uint32_t access_count; /* how often it is open through this subsystem; 0 of a detached one */
    uint8_t type;          /* peripheral device type */
    uint8_t qualifier;     /* peripheral qualifier */
    uint8_t scsi_level;
    uint8_t removable;
    uint8_t emulated; /* its host is a bridge to something that is not SCSI */
    uint8_t writeable;
    uint8_t lockable;
    uint8_t changed; /* its medium was changed since the attach */
    uint8_t online;
    uint8_t by_resync; /* its detach was found by comparing, and may have been earlier */
    uint8_t reserved[6];
    char vendor[12];
    char model[20];
    char revision[8];
    char sg[16];   /* "sg3"; empty without one */
    char node[16]; /* of its other driver: "sda", "sr0", "st0", "ch0" */
    char host_name[32];
    char host_driver[32];
    uint32_t inquiry_length;
    uint8_t inquiry[252];
};

struct scsimon_host {
    uint64_t added_event;
    uint64_t added_wall_us;
    uint32_t host;
    uint32_t unique_id;
    uint32_t emulated;
    uint32_t devices; /* that are attached to it */
    char name[32];
    char driver[32];
    char info[256];
};

/* A part of a list, or all of it. */
struct scsimon_list {
    uint64_t event_count;
    uint64_t elements;     /* in: address of an array */
    uint32_t element_size; /* in: bytes of one element there; longer ones are cut, shorter ones end in zeros */
    uint32_t first;        /* in: index of the first element that is wanted */
    uint32_t room;         /* in: elements that the array has room for */
    uint32_t count;        /* elements that were put there */
    uint32_t total;        /* elements of the whole list */
    uint32_t reserved;
};

/* One device: of the attached by `attach_event`, or if that is 0 by address; of the detached by `attach_event`
 * or `detach_event`. ENODEV if there is none; `event_count` is set then too. */
struct scsimon_one_device {
    uint64_t event_count;
    struct scsimon_device device; /* in: the members named above */
};

/* One host, by number; ENODEV if there is none. */
struct scsimon_one_host {
    uint64_t event_count;
    struct scsimon_host host; /* in: host */
};

/* Waits until there is an event after `since`; ETIMEDOUT if none comes in time, EINTR at a signal. */
struct scsimon_wait {
    uint64_t event_count;
    uint64_t since;     /* in */
    int32_t timeout_ms; /* in: -1 for no limit, 0 to look */
    uint32_t reserved;
};

/* Where read(2) goes on; EINVAL beyond the last event. */
struct scsimon_position {
    uint64_t event_count;
    uint64_t since; /* in: the event before the next one that is read */
};

/* Takes a device offline or online. ENODEV if this stay of it is over, whoever is at the address now. */
struct scsimon_online {
    uint64_t event_count;
    uint64_t attach_event; /* in */
    uint32_t online;       /* in: 0 or 1 */
    uint32_t reserved;
};

/* An ioctl for the driver of a host: SCSI_IOCTL_PROBE_HOST and SCSI_IOCTL_GET_BUS_NUMBER are answered for every
 * host. The argument is handed on as a number. ENODEV without such a host, or without a device for its driver. */
struct scsimon_host_ioctl {
    uint64_t event_count;
    uint64_t argument; /* in */
    uint32_t host;     /* in */
    uint32_t command;  /* in */
    int32_t result;    /* what the driver's ioctl returned, 0 or more; below 0 it is errno */
    uint32_t reserved;
};

/* While it is locked, who serves the node does not end at a first request. Locks outlive the file. */
struct scsimon_lock {
    uint64_t event_count;
    int32_t lock;   /* in: 1 for one lock more, 0 for one less, which is EINVAL if there is none */
    uint32_t locks; /* how many there are now */
};

#define SCSIMON_GET_STATUS _IOR('S', 0xe0, struct scsimon_status)
#define SCSIMON_GET_ATTACHED _IOWR('S', 0xe1, struct scsimon_list)
#define SCSIMON_GET_DETACHED _IOWR('S', 0xe2, struct scsimon_list) /* latest last */
#define SCSIMON_GET_HOSTS _IOWR('S', 0xe3, struct scsimon_list)
#define SCSIMON_FIND_ATTACHED _IOWR('S', 0xe4, struct scsimon_one_device)
#define SCSIMON_FIND_DETACHED _IOWR('S', 0xe5, struct scsimon_one_device)
#define SCSIMON_FIND_HOST _IOWR('S', 0xe6, struct scsimon_one_host)
#define SCSIMON_WAIT _IOWR('S', 0xe7, struct scsimon_wait)
#define SCSIMON_SET_POSITION _IOWR('S', 0xe8, struct scsimon_position)
/* These need a file that is open for writing, and its opener's rights: EPERM. */
#define SCSIMON_SET_ONLINE_STATE _IOWR('S', 0xe9, struct scsimon_online)
#define SCSIMON_SEND_HOST_IOCTL _IOWR('S', 0xea, struct scsimon_host_ioctl)
#define SCSIMON_LOCK_MOD _IOWR('S', 0xeb, struct scsimon_lock)

enum scsimon_kind {
    SCSIMON_ATTACH = 1,
    SCSIMON_DETACH = 2,
    SCSIMON_CHANGE = 3,
    SCSIMON_HOST_ADDED = 4,
    SCSIMON_HOST_REMOVED = 5,
    SCSIMON_REPLACED = 6, /* another unit answers at the address: the end of one stay, and a new one */
    SCSIMON_QUARANTINED = 7,
    SCSIMON_RELEASED = 8,
    SCSIMON_TRIGGER = 9,
    SCSIMON_AGENTS = 10,
    SCSIMON_RECOVERY = 11,
    SCSIMON_GAP = 256, /* events from `attach_event` to `event_count` are not kept any more */
};

#define SCSIMON_NOTHING 0xffffffffu /* host, bus or target of an event that has none */

struct scsimon_event {
    uint64_t event_count;
    uint64_t attach_event;   /* of the device's stay; 0 where the event does not say */
    uint64_t previous_event; /* SCSIMON_REPLACED: attach_event of who was there */
    uint64_t boot_us;
    uint64_t wall_us;
    uint64_t lun;
    uint32_t kind;
    uint32_t host;
    uint32_t bus;
    uint32_t target;
    uint32_t by_resync;
    uint32_t reserved;
};

#endif
