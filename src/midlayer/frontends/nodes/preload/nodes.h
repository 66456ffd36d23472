/* What the parts of the preload library share.
 *
 *   paths.c        which path belongs to the subsystem, and where its snapshot is
 *   channel.c      one connection to the server for each thread, and its shared memory
 *   memory.c       the program's own memory, whose addresses may be wild
 *   tokens.c       the descriptor that a program has for an open node
 *   opening.c      open, fopen and their kin
 *   requests.c     ioctl, read, write, mmap
 *   metadata.c     stat, access, readlink, realpath, chdir
 *   directories.c  opendir, readdir, scandir
 *
 * A program's descriptor for a node is one end of a socket pair, its token. So close, dup, fork and exec
 * are the kernel's own, the last close reaches the server as an end of file, and poll, select, epoll and
 * SIGIO work by a byte that the server keeps in the token while there is something to read.
 */
#ifndef MIDLAYER_NODES_H
#define MIDLAYER_NODES_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "wire.h"

#define ML_EXPORT __attribute__((visibility("default")))

/* The C library's own function of that name. */
#define REAL(name)                                                              \
    ({                                                                          \
        static __typeof__(&name) found_;                                        \
        __typeof__(&name) real_ = __atomic_load_n(&found_, __ATOMIC_RELAXED);   \
        if (!real_) {                                                           \
            real_ = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                 \
            __atomic_store_n(&found_, real_, __ATOMIC_RELAXED);                 \
        }                                                                       \
        real_;                                                                  \
    })

/* paths.c */

enum ml_place {
    ML_OUTSIDE,  /* nothing of ours */
    ML_NODE,     /* /dev/sgN, /dev/bsg/H:C:T:L, /dev/scsimon: a device */
    ML_SERVED,   /* a file whose text the server makes at each open */
    ML_SNAPSHOT, /* an ordinary file, directory or link that the server keeps current */
    ML_MERGED,   /* a real directory that has names of ours as well */
};

struct ml_location {
    enum ml_place place;
    char path[PATH_MAX];     /* as the program would write it, absolute */
    char snapshot[PATH_MAX]; /* where it is really */
};

const char *ml_root(void); /* the server's directory; NULL if there is no server */
enum ml_place ml_locate(int directory, const char *path, struct ml_location *location);
int ml_owned(const char *path);          /* true for the first component that is ours */
const char *ml_as_seen(const char *path); /* a path without the server's directory before it */
int ml_join(char *out, const char *before, const char *after);

/* channel.c */

struct ml_channel {
    int socket;
    uint8_t *shared;
    size_t shared_length;
    uint8_t *message; /* not on the stack: a thread's may be small */
    unsigned generation;
    int half_shut; /* a signal came; the call under way is the last one */
};

struct ml_channel *ml_channel(void);
int ml_reserve(struct ml_channel *channel, size_t length);
int64_t ml_call(struct ml_request *request, const struct iovec *body, int parts, int *received);

/* memory.c: 0 or -EFAULT */

int ml_copy_in(void *to, uint64_t from, size_t length);
int ml_copy_out(uint64_t to, const void *from, size_t length);

/* tokens.c */

uint32_t ml_file_of(int fd); /* the server's number of an open file; 0 for any other descriptor */
int ml_open_served(const char *path, int flags);
void ml_drain(int fd);

/* metadata.c */

int ml_stat(int directory, const char *path, struct stat *out, int flags);

#endif
