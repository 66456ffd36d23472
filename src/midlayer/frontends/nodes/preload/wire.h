/* What goes over a channel, a SOCK_SEQPACKET connection. wire.py declares the same; both ends are of one
 * build, and a test compares the sizes. */
#ifndef MIDLAYER_WIRE_H
#define MIDLAYER_WIRE_H

#include <stdint.h>

enum ml_operation {
    ML_HELLO = 1, /* answered with the shared memory */
    ML_OPEN,      /* body: path; answered with a token, or with the text itself (result 0) */
    ML_WHO,       /* argument: inode number of a token; answers with its file */
    ML_IOCTL,
    ML_READ,
    ML_WRITE,
    ML_MMAP,  /* answered with the memory */
    ML_GROW,  /* request: bytes of shared memory that are needed */
    ML_FSTAT, /* answers with the device number */
    ML_MEMORY, /* body: what ML_FETCH asked for */
    ML_FLAGS,  /* answers with the access mode that the file was opened with */
};

enum ml_request_flags {
    ML_NONBLOCK = 1,
    ML_WINDOW_FILLED = 2, /* the window holds what is at window_address */
};

struct ml_request {
    uint32_t operation;
    uint32_t file;
    uint64_t request;  /* open flags, ioctl number, count or length */
    uint64_t argument; /* address in the program, or a number */
    uint32_t flags;
    uint32_t window_length; /* bytes of shared memory that stand for window_address */
    uint64_t window_address;
    uint32_t header_length; /* then this many bytes that are at `argument` */
    uint32_t cdb_length;    /* then this many that are at `cdb_address` */
    uint64_t cdb_address;
};

enum ml_reply_kind { ML_DONE, ML_FETCH };
enum ml_reply_flags { ML_DRAIN = 1 }; /* take the byte from the token: nothing is left to be read */

struct ml_reply {
    uint32_t kind;
    int32_t error;
    int64_t result; /* ML_FETCH: the address */
    uint32_t count; /* pieces that follow; ML_FETCH: bytes wanted */
    uint32_t window_back; /* bytes of the window that go to window_address */
    uint32_t flags;
    uint32_t shared_length;
};

/* Bytes for the program's memory. */
struct ml_piece {
    uint64_t address;
    uint32_t length;
    uint32_t offset; /* in shared memory; ML_INLINE: after the pieces, in their order */
};

#define ML_INLINE 0xffffffffu
#define ML_MOST_PIECES 512
#define ML_MOST_MESSAGE 65536
#define ML_MOST_FETCH 32768

#endif
