/* What /dev/scsimon offers, one verb for each call; it knows midlayer by scsimon.h alone.
 *
 *   cc -I "$(python3 -m midlayer.upper.scsimon)" -o scsimon scsimon.c
 *   midlayer exec -- ./scsimon attached
 *
 * SCSIMON_NODE in the environment names another node, as of midlayer up --nodes DIR. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scsimon.h"

enum { PART = 16 };

static int fd;

static int fail(const char *what) {
    int number = errno;
    fprintf(stderr, "%s: %s\n", what, strerror(number));
    return number;
}

static uint64_t number_of(const char *text) {
    return strtoull(text, NULL, 0);
}

static void show_device(const struct scsimon_device *device) {
    printf("%" PRIu32 ":%" PRIu32 ":%" PRIu32 ":%" PRIu64 " attach=%" PRIu64, device->host, device->bus,
           device->target, device->lun, device->attach_event);
    if (device->detach_event)
        printf(" detach=%" PRIu64, device->detach_event);
    printf(" type=%u qualifier=%u vendor=%s model=%s rev=%s sg=%s online=%u removable=%u lockable=%u writeable=%u"
           " changed=%u emulated=%u access_count=%u inquiry=%u host=%s\n",
           device->type, device->qualifier, device->vendor, device->model, device->revision, device->sg,
           device->online, device->removable, device->lockable, device->writeable, device->changed,
           device->emulated, device->access_count, device->inquiry_length, device->host_name);
}

static void show_host(const struct scsimon_host *host) {
    printf("host%" PRIu32 " added=%" PRIu64 " devices=%" PRIu32 " name=%s driver=%s info=%s\n", host->host,
           host->added_event, host->devices, host->name, host->driver, host->info);
}

/* One call gives a part; all parts are one list only if no event came in between. */
static int show_list(unsigned long request, size_t size, void (*show)(const void *)) {
    char *room = malloc(PART * size);
    struct scsimon_list list = {.elements = (uintptr_t)room, .element_size = size, .room = PART};
    uint64_t since = 0;
    do {
        if (ioctl(fd, request, &list) != 0)
            return fail("list");
        if (list.first == 0)
            printf("event_count=%" PRIu64 " total=%" PRIu32 "\n", since = list.event_count, list.total);
        else if (list.event_count != since)
            printf("something happened: event_count=%" PRIu64 "\n", list.event_count);
        for (uint32_t i = 0; i < list.count; i++)
            show(room + i * size);
        list.first += list.count;
    } while (list.count && list.first < list.total);
    free(room);
    return 0;
}

static void any_device(const void *element) {
    show_device(element);
}

static void any_host(const void *element) {
    show_host(element);
}

static int status(void) {
    struct scsimon_status found;
    if (ioctl(fd, SCSIMON_GET_STATUS, &found) != 0)
        return fail("SCSIMON_GET_STATUS");
    printf("interface=%" PRIu32 " event_count=%" PRIu64 " oldest_event=%" PRIu64 " attached=%" PRIu32
           " detached=%" PRIu32 " hosts=%" PRIu32 " locks=%" PRIu32 "\n",
           found.interface, found.event_count, found.oldest_event, found.attached, found.detached, found.hosts,
           found.locks);
    return 0;
}

static int find(unsigned long request, uint64_t attach_event, uint64_t detach_event) {
    struct scsimon_one_device one = {.device = {.attach_event = attach_event, .detach_event = detach_event}};
    if (ioctl(fd, request, &one) != 0)
        return fail("find");
    show_device(&one.device);
    return 0;
}

static int find_address(const char *text) {
    struct scsimon_one_device one = {0};
    struct scsimon_device *device = &one.device;
    if (sscanf(text, "%" SCNu32 ":%" SCNu32 ":%" SCNu32 ":%" SCNu64, &device->host, &device->bus, &device->target,
               &device->lun) != 4)
        return EINVAL;
    if (ioctl(fd, SCSIMON_FIND_ATTACHED, &one) != 0)
        return fail("SCSIMON_FIND_ATTACHED");
    show_device(&one.device);
    return 0;
}

static int find_host(uint32_t number) {
    struct scsimon_one_host one = {.host = {.host = number}};
    if (ioctl(fd, SCSIMON_FIND_HOST, &one) != 0)
        return fail("SCSIMON_FIND_HOST");
    show_host(&one.host);
    return 0;
}

static int wait_for(uint64_t since, int timeout_ms) {
    struct scsimon_wait wanted = {.since = since, .timeout_ms = timeout_ms};
    int result = ioctl(fd, SCSIMON_WAIT, &wanted);
    int number = errno;
    printf("event_count=%" PRIu64 "\n", wanted.event_count);
    errno = number;
    return result != 0 ? fail("SCSIMON_WAIT") : 0;
}

static void show_event(const struct scsimon_event *event) {
    printf("%" PRIu64 " kind=%" PRIu32 " attach=%" PRIu64 " host=%" PRId32, event->event_count, event->kind,
           event->attach_event, (int32_t)event->host);
    if (event->bus != SCSIMON_NOTHING)
        printf(" address=%" PRIu32 ":%" PRIu32 ":%" PRIu32 ":%" PRIu64, event->host, event->bus, event->target,
               event->lun);
    if (event->previous_event)
        printf(" previous=%" PRIu64, event->previous_event);
    printf("\n");
}

/* Prints events from `since` on; ends after `count` of them. */
static int follow(uint64_t since, unsigned count) {
    struct scsimon_position position = {.since = since};
    struct scsimon_event events[16];
    if (ioctl(fd, SCSIMON_SET_POSITION, &position) != 0)
        return fail("SCSIMON_SET_POSITION");
    while (count) {
        struct pollfd wanted = {.fd = fd, .events = POLLIN};
        if (poll(&wanted, 1, -1) < 0)
            return fail("poll");
        ssize_t length = read(fd, events, sizeof events);
        if (length < 0)
            return fail("read");
        for (size_t i = 0; i < length / sizeof *events && count; i++, count--)
            show_event(events + i);
        fflush(stdout);
    }
    return 0;
}

static int set_online(uint64_t attach_event, uint32_t online) {
    struct scsimon_online wanted = {.attach_event = attach_event, .online = online};
    if (ioctl(fd, SCSIMON_SET_ONLINE_STATE, &wanted) != 0)
        return fail("SCSIMON_SET_ONLINE_STATE");
    printf("event_count=%" PRIu64 "\n", wanted.event_count);
    return 0;
}

static int host_ioctl(uint32_t host, uint32_t command) {
    union {
        uint32_t length;
        char text[128];
    } room = {.length = sizeof room};
    struct scsimon_host_ioctl wanted = {.host = host, .command = command, .argument = (uintptr_t)&room};
    if (ioctl(fd, SCSIMON_SEND_HOST_IOCTL, &wanted) != 0)
        return fail("SCSIMON_SEND_HOST_IOCTL");
    printf("result=%" PRId32 " text=%s\n", wanted.result, room.text);
    return 0;
}

static int lock_module(int32_t lock) {
    struct scsimon_lock wanted = {.lock = lock};
    if (ioctl(fd, SCSIMON_LOCK_MOD, &wanted) != 0)
        return fail("SCSIMON_LOCK_MOD");
    printf("locks=%" PRIu32 "\n", wanted.locks);
    return 0;
}

static int usage(void) {
    fputs("usage: scsimon status | attached | detached | hosts | device ATTACH_EVENT | address H:C:T:L |\n"
          "       gone ATTACH_EVENT | gone-by DETACH_EVENT | host N | wait SINCE MS | follow SINCE COUNT |\n"
          "       online ATTACH_EVENT 0|1 | host-ioctl HOST COMMAND | lock 0|1\n",
          stderr);
    return 2;
}

static int carry_out(const char *verb, const char *first, const char *second) {
    if (strcmp(verb, "status") == 0)
        return status();
    if (strcmp(verb, "attached") == 0)
        return show_list(SCSIMON_GET_ATTACHED, sizeof(struct scsimon_device), any_device);
    if (strcmp(verb, "detached") == 0)
        return show_list(SCSIMON_GET_DETACHED, sizeof(struct scsimon_device), any_device);
    if (strcmp(verb, "hosts") == 0)
        return show_list(SCSIMON_GET_HOSTS, sizeof(struct scsimon_host), any_host);
    if (!first)
        return usage();
    if (strcmp(verb, "device") == 0)
        return find(SCSIMON_FIND_ATTACHED, number_of(first), 0);
    if (strcmp(verb, "address") == 0)
        return find_address(first);
    if (strcmp(verb, "gone") == 0)
        return find(SCSIMON_FIND_DETACHED, number_of(first), 0);
    if (strcmp(verb, "gone-by") == 0)
        return find(SCSIMON_FIND_DETACHED, 0, number_of(first));
    if (strcmp(verb, "host") == 0)
        return find_host(number_of(first));
    if (strcmp(verb, "lock") == 0)
        return lock_module(atoi(first));
    if (!second)
        return usage();
    if (strcmp(verb, "wait") == 0)
        return wait_for(number_of(first), atoi(second));
    if (strcmp(verb, "follow") == 0)
        return follow(number_of(first), number_of(second));
    if (strcmp(verb, "online") == 0)
        return set_online(number_of(first), number_of(second));
    if (strcmp(verb, "host-ioctl") == 0)
        return host_ioctl(number_of(first), number_of(second));
    return usage();
}

int main(int count, char **words) {
    const char *node = getenv("SCSIMON_NODE");
    if (count < 2)
        return usage();
    fd = open(node ? node : SCSIMON_NODE, O_RDWR);
    if (fd < 0)
        return fail(node ? node : SCSIMON_NODE);
    int result = carry_out(words[1], words[2], count > 3 ? words[3] : NULL);
    close(fd);
    return result;
}
