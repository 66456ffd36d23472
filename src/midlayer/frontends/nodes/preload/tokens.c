/* The descriptor that a program has for an open node: one end of a socket pair.
 *
 * It is known by its inode number, so copies by dup, fork, exec or SCM_RIGHTS are known as well, and no
 * close needs to be seen. The table is a cache of what the server says. */
#include "nodes.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SLOTS = 256 };
static const uint32_t NOT_OURS = 0xffffffffu;

static uint64_t known[SLOTS]; /* inode number in the upper half, file or NOT_OURS in the lower */

static void learn(uint32_t inode, uint32_t file) {
    __atomic_store_n(&known[inode % SLOTS], (uint64_t)inode << 32 | file, __ATOMIC_RELAXED);
}

static int looks_like_token(int fd) {
    int domain = 0, type = 0;
    socklen_t length = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET;
}

static uint32_t asked(int fd, uint32_t inode) {
    if (!looks_like_token(fd))
        return NOT_OURS;
    struct ml_request request = {.operation = ML_WHO, .argument = inode};
    int64_t file = ml_call(&request, NULL, 0, NULL);
    return file > 0 ? (uint32_t)file : NOT_OURS;
}

uint32_t ml_file_of(int fd) {
    struct stat found;
    if (!ml_root() || fd < 0)
        return 0;
    int saved = errno;
    uint32_t file = 0;
    if (ml_stat(fd, "", &found, AT_EMPTY_PATH) == 0 && S_ISSOCK(found.st_mode)) {
        uint32_t inode = (uint32_t)found.st_ino;
        uint64_t entry = __atomic_load_n(&known[inode % SLOTS], __ATOMIC_RELAXED);
        if (entry >> 32 == inode && (uint32_t)entry) {
            file = (uint32_t)entry;
        } else {
            file = asked(fd, inode);
            learn(inode, file);
        }
    }
    errno = saved;
    return file == NOT_OURS ? 0 : file;
}

void ml_drain(int fd) {
    char byte;
    int saved = errno;
    recv(fd, &byte, 1, MSG_DONTWAIT);
    errno = saved;
}

static int64_t ask_to_open(const char *path, int flags, int *received) {
    struct ml_request request = {.operation = ML_OPEN, .request = (uint32_t)flags};
    request.header_length = strlen(path);
    struct iovec body = {(void *)path, request.header_length};
    return ml_call(&request, &body, 1, received);
}

/* Opens what the server serves: a node, or a file; returns a descriptor, or -1 with errno. */
int ml_open_served(const char *path, int flags) {
    struct stat found;
    int fd = -1;
    if (!ml_channel()) {
        errno = ENXIO;
        return -1;
    }
    int64_t file = ask_to_open(path, flags, &fd);
    if (file < 0 || fd < 0) {
        errno = file < 0 ? (int)-file : EIO;
        return -1;
    }
    if (file > 0 && ml_stat(fd, "", &found, AT_EMPTY_PATH) == 0)
        learn((uint32_t)found.st_ino, (uint32_t)file);
    if (file > 0 && flags & O_NONBLOCK)
        REAL(fcntl)(fd, F_SETFL, O_RDWR | O_NONBLOCK);
    if (!(flags & O_CLOEXEC))
        REAL(fcntl)(fd, F_SETFD, 0);
    return fd;
}
