/* One connection to the server for each thread, so that no call waits for another thread's.
 *
 * The server answers a call with ML_DONE, before which it may ask for memory of the program (ML_FETCH).
 * What is to be written to the program's memory comes with the answer. */
#include "nodes.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static __thread struct ml_channel own = {.socket = -1};
static unsigned generation = 1;
static pthread_key_t at_exit;

static void forget(struct ml_channel *channel) {
    if (channel->socket >= 0)
        REAL(close)(channel->socket);
    if (channel->shared)
        REAL(munmap)(channel->shared, channel->shared_length);
    free(channel->message);
    *channel = (struct ml_channel){.socket = -1};
}

static void thread_ends(void *channel) {
    forget(channel);
}

/* The connections belong to the parent. */
static void in_child(void) {
    generation++;
    forget(&own);
}

__attribute__((constructor)) static void prepare(void) {
    pthread_key_create(&at_exit, thread_ends);
    pthread_atfork(NULL, NULL, in_child);
}

/* Out of the way of programs that count on the lowest descriptor, or close those that they know. */
static int moved_up(int fd) {
    struct rlimit limit;
    int from = 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 256)
        from = (limit.rlim_cur > 4096 ? 4096 : (int)limit.rlim_cur) - 128;
    int high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, from);
    if (high < 0)
        return fd;
    REAL(close)(fd);
    return high;
}

static int connected(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *root = ml_root();
    if (!root || strlen(root) + sizeof "/socket" > sizeof address.sun_path)
        return -1;
    strcat(strcpy(address.sun_path, root), "/socket");
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int done;
    do {
        done = connect(fd, (struct sockaddr *)&address, sizeof address);
    } while (done != 0 && errno == EINTR);
    if (done != 0) {
        REAL(close)(fd);
        return -1;
    }
    return moved_up(fd);
}

static ssize_t send_parts(int socket, const struct iovec *parts, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t sent;
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

/* A signal does not cut a call short, because its answer would be the answer of the next one. The server
 * sees that this side has no more to say, interrupts the call, and answers with EINTR or with its result. */
static ssize_t receive(struct ml_channel *channel, void *buffer, size_t length, int *descriptor) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {buffer, length};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t got;
    do {
        if (descriptor) {
            message.msg_control = control.bytes;
            message.msg_controllen = sizeof control.bytes;
        }
        got = recvmsg(channel->socket, &message, MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR) {
            channel->half_shut = 1;
            shutdown(channel->socket, SHUT_WR);
        }
    } while (got < 0 && errno == EINTR);
    struct cmsghdr *header = descriptor && got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    return got;
}

static int map_shared(struct ml_channel *channel, size_t length, int memory) {
    void *mapped = channel->shared
                       ? mremap(channel->shared, channel->shared_length, length, MREMAP_MAYMOVE)
                       : REAL(mmap)(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    if (mapped == MAP_FAILED)
        return -1;
    channel->shared = mapped;
    channel->shared_length = length;
    return 0;
}

static int greet(struct ml_channel *channel) {
    struct ml_request request = {.operation = ML_HELLO};
    struct ml_reply reply;
    struct iovec part = {&request, sizeof request};
    int memory = -1;
    if (send_parts(channel->socket, &part, 1) < 0 ||
        receive(channel, &reply, sizeof reply, &memory) < (ssize_t)sizeof reply || memory < 0)
        return -1;
    int failed = map_shared(channel, reply.shared_length, memory);
    REAL(close)(memory);
    return failed;
}

struct ml_channel *ml_channel(void) {
    if (own.socket >= 0 && own.generation == generation)
        return &own;
    int saved = errno;
    forget(&own);
    own.socket = connected();
    own.message = malloc(ML_MOST_MESSAGE + ML_MOST_FETCH);
    if (own.socket < 0 || !own.message || greet(&own) != 0) {
        forget(&own);
        return NULL;
    }
    own.generation = generation;
    pthread_setspecific(at_exit, &own);
    errno = saved;
    return &own;
}

static int answer_fetch(struct ml_channel *channel, const struct ml_reply *wanted) {
    uint8_t *bytes = channel->message + ML_MOST_MESSAGE;
    struct ml_request answer = {.operation = ML_MEMORY, .header_length = wanted->count};
    if (wanted->count > ML_MOST_FETCH || ml_copy_in(bytes, wanted->result, wanted->count) != 0)
        answer.header_length = 0;
    struct iovec parts[] = {{&answer, sizeof answer}, {bytes, answer.header_length}};
    return send_parts(channel->socket, parts, 2) < 0 ? -1 : 0;
}

/* Puts what came into the program's memory. */
static int apply(struct ml_channel *channel, const uint8_t *message, size_t length) {
    const struct ml_reply *reply = (const struct ml_reply *)message;
    const struct ml_piece *piece = (const struct ml_piece *)(reply + 1);
    if (length < sizeof *reply + reply->count * sizeof *piece)
        return -EIO;
    const uint8_t *inline_bytes = (const uint8_t *)(piece + reply->count);
    for (uint32_t i = 0; i < reply->count; i++, piece++) {
        const uint8_t *from = inline_bytes;
        if (piece->offset == ML_INLINE)
            inline_bytes += piece->length;
        else
            from = channel->shared + piece->offset;
        if (ml_copy_out(piece->address, from, piece->length) != 0)
            return -EFAULT;
    }
    return 0;
}

static int64_t finish(struct ml_channel *channel, const struct ml_request *request, const uint8_t *message,
                      size_t length) {
    const struct ml_reply *reply = (const struct ml_reply *)message;
    if (reply->shared_length > channel->shared_length && map_shared(channel, reply->shared_length, -1) != 0)
        return -ENOMEM;
    int failed = apply(channel, message, length);
    if (reply->window_back && !failed)
        failed = ml_copy_out(request->window_address, channel->shared, reply->window_back);
    if (reply->error)
        return -reply->error;
    return failed ? failed : reply->result;
}

/* Returns the result, or -errno. `flags` of the request become those of the answer. */
int64_t ml_call(struct ml_request *request, const struct iovec *body, int parts, int *received) {
    struct ml_channel *channel = ml_channel();
    if (!channel)
        return -ENODEV;
    struct iovec all[4] = {{request, sizeof *request}};
    for (int i = 0; i < parts; i++)
        all[i + 1] = body[i];
    uint8_t *message = channel->message;
    const struct ml_reply *reply = (const struct ml_reply *)message;
    ssize_t length = send_parts(channel->socket, all, parts + 1);
    for (;;) {
        if (length >= 0)
            length = receive(channel, message, ML_MOST_MESSAGE, received);
        if (length < (ssize_t)sizeof *reply) {
            int interrupted = channel->half_shut;
            forget(channel);
            return interrupted ? -EINTR : -ENODEV; /* ENODEV: the server is gone */
        }
        if (reply->kind != ML_FETCH)
            break;
        length = answer_fetch(channel, reply);
    }
    int64_t result = finish(channel, request, message, length);
    request->flags = reply->flags;
    if (channel->half_shut)
        forget(channel);
    return result;
}

int ml_reserve(struct ml_channel *channel, size_t length) {
    if (length <= channel->shared_length)
        return 0;
    struct ml_request request = {.operation = ML_GROW, .request = length};
    return ml_call(&request, NULL, 0, NULL) < 0 ? -1 : 0;
}
