/* ioctl, read, write and mmap on a node.
 *
 * What a request surely needs goes with it: the header, the CDB it points to and the data for the device.
 * Whatever else the server needs, it asks for. So this file knows two layouts and no rules. */
#include "nodes.h"

#include <fcntl.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    V4_SIZE = 160,
    MOST_INLINE = 4096,
    MOST_CDB = 252,
    MOST_WINDOW = 256 << 20,
    MMAP_IO = 4, /* SG_FLAG_MMAP_IO */
    LARGE_FILE = 0100000, /* what the kernel shows of every file of a 64-bit program */
};

/* Where a header says that CDB and data are. */
struct plan {
    uint64_t cdb, data;
    uint32_t cdb_length, data_length;
    int filled; /* the device reads the data */
};

static struct plan plan_v3(const uint8_t *bytes) {
    sg_io_hdr_t header;
    memcpy(&header, bytes, sizeof header);
    struct plan plan = {.cdb = (uintptr_t)header.cmdp, .cdb_length = header.cmd_len};
    if (header.iovec_count == 0 && !(header.flags & MMAP_IO) && header.dxfer_direction != SG_DXFER_NONE) {
        plan.data = (uintptr_t)header.dxferp;
        plan.data_length = header.dxfer_len;
        plan.filled = header.dxfer_direction != SG_DXFER_FROM_DEV;
    }
    return plan;
}

static uint32_t word(const uint8_t *bytes, size_t at) {
    uint32_t value;
    memcpy(&value, bytes + at, sizeof value);
    return value;
}

static uint64_t address(const uint8_t *bytes, size_t at) {
    uint64_t value;
    memcpy(&value, bytes + at, sizeof value);
    return value;
}

/* struct sg_io_v4 of <linux/bsg.h> */
static struct plan plan_v4(const uint8_t *bytes) {
    struct plan plan = {.cdb = address(bytes, 16), .cdb_length = word(bytes, 12)};
    if (word(bytes, 60) && !word(bytes, 56)) {
        plan.data = address(bytes, 72), plan.data_length = word(bytes, 60), plan.filled = 1;
    } else if (!word(bytes, 60) && word(bytes, 68) && !word(bytes, 64)) {
        plan.data = address(bytes, 80), plan.data_length = word(bytes, 68);
    }
    return plan;
}

static void open_window(struct ml_request *request, const struct plan *plan) {
    struct ml_channel *channel = ml_channel();
    if (!channel || !plan->data || !plan->data_length || plan->data_length > MOST_WINDOW)
        return;
    if (ml_reserve(channel, plan->data_length) != 0)
        return;
    if (plan->filled) {
        if (ml_copy_in(channel->shared, plan->data, plan->data_length) != 0)
            return; /* the server will ask for it, and hear that it is not there */
        request->flags |= ML_WINDOW_FILLED;
    }
    request->window_address = plan->data;
    request->window_length = plan->data_length;
}

static int64_t call_with_plan(struct ml_request *request, uint8_t *header, const struct plan *plan) {
    uint8_t cdb[MOST_CDB];
    if (plan->cdb_length <= sizeof cdb && ml_copy_in(cdb, plan->cdb, plan->cdb_length) == 0) {
        request->cdb_address = plan->cdb;
        request->cdb_length = plan->cdb_length;
    }
    open_window(request, plan);
    struct iovec parts[] = {{header, request->header_length}, {cdb, request->cdb_length}};
    return ml_call(request, parts, 2, NULL);
}

static int64_t plain_ioctl(struct ml_request *request) {
    uint8_t word_there[4];
    if (ml_copy_in(word_there, request->argument, sizeof word_there) == 0)
        request->header_length = sizeof word_there;
    struct iovec part = {word_there, request->header_length};
    return ml_call(request, &part, 1, NULL);
}

static int64_t sg_io(struct ml_request *request) {
    uint8_t header[V4_SIZE];
    if (ml_copy_in(header, request->argument, sizeof(sg_io_hdr_t)) != 0)
        return plain_ioctl(request);
    request->header_length = sizeof(sg_io_hdr_t);
    struct plan plan = {0};
    if (word(header, 0) == 'S') {
        plan = plan_v3(header);
    } else if (word(header, 0) == 'Q' && ml_copy_in(header, request->argument, V4_SIZE) == 0) {
        request->header_length = V4_SIZE;
        plan = plan_v4(header);
    }
    return call_with_plan(request, header, &plan);
}

/* From the server's word to the program's. */
static int64_t settled(int fd, const struct ml_request *request, int64_t result) {
    if (request->flags & ML_DRAIN)
        ml_drain(fd);
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

static uint32_t nonblock(int fd) {
    int flags = REAL(fcntl)(fd, F_GETFL);
    return flags >= 0 && flags & O_NONBLOCK ? ML_NONBLOCK : 0;
}

ML_EXPORT int ioctl(int fd, unsigned long number, ...) {
    va_list list;
    va_start(list, number);
    void *argument = va_arg(list, void *);
    va_end(list);
    uint32_t file = ml_file_of(fd);
    if (!file || number == FIONBIO || number == FIOASYNC || number == FIOCLEX || number == FIONCLEX)
        return REAL(ioctl)(fd, number, argument);
    struct ml_request request = {
        .operation = ML_IOCTL, .file = file, .request = (uint32_t)number, .argument = (uintptr_t)argument};
    if (number == SG_IO)
        return (int)settled(fd, &request, sg_io(&request));
    request.flags = nonblock(fd);
    return (int)settled(fd, &request, plain_ioctl(&request));
}

static ssize_t write_node(int fd, uint32_t file, const void *buffer, size_t count) {
    struct ml_request request = {.operation = ML_WRITE, .file = file, .request = count};
    request.argument = (uintptr_t)buffer;
    request.flags = nonblock(fd);
    uint8_t bytes[MOST_INLINE];
    struct plan plan = {0};
    if (count <= sizeof bytes) {
        if (ml_copy_in(bytes, request.argument, count) != 0)
            return settled(fd, &request, -EFAULT);
        request.header_length = count;
        if (count >= sizeof(sg_io_hdr_t) && word(bytes, 0) == 'S')
            plan = plan_v3(bytes);
        if (!plan.filled)
            plan.data_length = 0; /* what the device sends goes to whoever reads */
    } else {
        plan = (struct plan){.data = request.argument, .data_length = count, .filled = 1};
    }
    return settled(fd, &request, call_with_plan(&request, bytes, &plan));
}

ML_EXPORT ssize_t write(int fd, const void *buffer, size_t count) {
    uint32_t file = ml_file_of(fd);
    return file ? write_node(fd, file, buffer, count) : REAL(write)(fd, buffer, count);
}

static ssize_t read_node(int fd, uint32_t file, void *buffer, size_t count) {
    uint8_t header[sizeof(sg_io_hdr_t)];
    struct ml_request request = {.operation = ML_READ, .file = file, .request = count};
    request.argument = (uintptr_t)buffer;
    request.flags = nonblock(fd);
    uint32_t wanted = count < sizeof header ? count : sizeof header;
    if (ml_copy_in(header, request.argument, wanted) == 0)
        request.header_length = wanted;
    struct iovec part = {header, request.header_length};
    return settled(fd, &request, ml_call(&request, &part, 1, NULL));
}

ML_EXPORT ssize_t read(int fd, void *buffer, size_t count) {
    uint32_t file = ml_file_of(fd);
    return file ? read_node(fd, file, buffer, count) : REAL(read)(fd, buffer, count);
}

ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room);

ML_EXPORT ssize_t __read_chk(int fd, void *buffer, size_t count, size_t room) {
    uint32_t file = ml_file_of(fd);
    return file ? read_node(fd, file, buffer, count) : REAL(__read_chk)(fd, buffer, count, room);
}

/* As the kernel does for a driver that has no read of several pieces: one call for each. */
static ssize_t each_piece(int fd, uint32_t file, const struct iovec *vector, int count, int out) {
    ssize_t total = 0;
    if (count < 0 || count > IOV_MAX) {
        errno = EINVAL;
        return -1;
    }
    for (int i = 0; i < count; i++) {
        struct iovec piece;
        if (ml_copy_in(&piece, (uintptr_t)(vector + i), sizeof piece) != 0) {
            errno = EFAULT;
            return total ? total : -1;
        }
        if (piece.iov_len == 0)
            continue;
        ssize_t done = out ? write_node(fd, file, piece.iov_base, piece.iov_len)
                           : read_node(fd, file, piece.iov_base, piece.iov_len);
        if (done < 0)
            return total ? total : -1;
        total += done;
        if ((size_t)done != piece.iov_len)
            break;
    }
    return total;
}

ML_EXPORT ssize_t readv(int fd, const struct iovec *vector, int count) {
    uint32_t file = ml_file_of(fd);
    return file ? each_piece(fd, file, vector, count, 0) : REAL(readv)(fd, vector, count);
}

ML_EXPORT ssize_t writev(int fd, const struct iovec *vector, int count) {
    uint32_t file = ml_file_of(fd);
    return file ? each_piece(fd, file, vector, count, 1) : REAL(writev)(fd, vector, count);
}

/* pread, pwrite and their kin end with ESPIPE on an sg node, and so they do on the socket that stands for it. */

static int get_flags(int fd) {
    int flags = REAL(fcntl)(fd, F_GETFL);
    uint32_t file = flags < 0 ? 0 : ml_file_of(fd);
    if (!file)
        return flags;
    struct ml_request request = {.operation = ML_FLAGS, .file = file};
    int64_t mode = ml_call(&request, NULL, 0, NULL);
    return mode < 0 ? flags : (flags & ~O_ACCMODE) | (int)mode | LARGE_FILE;
}

int fcntl64(int fd, int command, ...);

ML_EXPORT int fcntl(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return command == F_GETFL ? get_flags(fd) : REAL(fcntl)(fd, command, argument);
}

ML_EXPORT int fcntl64(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return command == F_GETFL ? get_flags(fd) : REAL(fcntl64)(fd, command, argument);
}

static void *map_node(void *where, size_t length, int protection, int flags, uint32_t file, off_t offset) {
    struct ml_request request = {.operation = ML_MMAP, .file = file, .request = length};
    request.argument = (uint64_t)offset;
    int memory = -1;
    int64_t result = ml_call(&request, NULL, 0, &memory);
    if (result < 0 || memory < 0) {
        errno = result < 0 ? (int)-result : EIO;
        return MAP_FAILED;
    }
    void *mapped = REAL(mmap)(where, length, protection, flags, memory, 0);
    int why = errno;
    REAL(close)(memory);
    errno = why;
    return mapped;
}

ML_EXPORT void *mmap(void *where, size_t length, int protection, int flags, int fd, off_t offset) {
    uint32_t file = flags & MAP_ANONYMOUS ? 0 : ml_file_of(fd);
    if (file)
        return map_node(where, length, protection, flags, file, offset);
    return REAL(mmap)(where, length, protection, flags, fd, offset);
}

ML_EXPORT void *mmap64(void *where, size_t length, int protection, int flags, int fd, off64_t offset) {
    uint32_t file = flags & MAP_ANONYMOUS ? 0 : ml_file_of(fd);
    if (file)
        return map_node(where, length, protection, flags, file, offset);
    return REAL(mmap)(where, length, protection, flags, fd, offset);
}
