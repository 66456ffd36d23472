/* The program's own memory, by addresses that it passed and that may be wild: the kernel copies, so that a
 * bad one ends with EFAULT and not with a signal. */
#include "nodes.h"

#include <sys/uio.h>
#include <unistd.h>

enum { CHUNK = 4096 }; /* what a pipe takes whole */

/* For kernels and containers that do not allow process_vm_readv: a pipe in between. */
static int through_pipe(void *to, const void *from, size_t length) {
    int ends[2], failed = 0;
    if (pipe(ends) != 0)
        return -EFAULT;
    for (size_t at = 0; at < length && !failed; at += CHUNK) {
        size_t part = length - at < CHUNK ? length - at : CHUNK;
        failed = REAL(write)(ends[1], (const char *)from + at, part) != (ssize_t)part ||
                 REAL(read)(ends[0], (char *)to + at, part) != (ssize_t)part;
    }
    REAL(close)(ends[0]);
    REAL(close)(ends[1]);
    return failed ? -EFAULT : 0;
}

static int copy(void *ours, uint64_t theirs, size_t length, int out) {
    if (length == 0)
        return 0;
    if (theirs == 0 || theirs + length < theirs)
        return -EFAULT;
    void *address = (void *)(uintptr_t)theirs;
    struct iovec local = {ours, length}, remote = {address, length};
    int saved = errno;
    ssize_t moved = out ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
                        : process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    int why = errno;
    errno = saved;
    if (moved == (ssize_t)length)
        return 0;
    if (moved < 0 && (why == EPERM || why == ENOSYS))
        return out ? through_pipe(address, ours, length) : through_pipe(ours, address, length);
    return -EFAULT;
}

int ml_copy_in(void *to, uint64_t from, size_t length) {
    return copy(to, from, length, 0);
}

int ml_copy_out(uint64_t to, const void *from, size_t length) {
    return copy((void *)(uintptr_t)from, to, length, 1);
}
