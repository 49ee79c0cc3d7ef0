/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The monitors: QEMU 7.2 as far as the bridge asks it, one client at a time each. What they answer is held against a
 * real QEMU by tests/e2e/test_farm_is_like_qemu.py.
 *
 * What takes time (a guest that moves its blocks, a reply after 5 s) waits in one of two queues: each has one delay for
 * all, so that what came first is due first, and no timer per VM is needed.
 */

#include "farm.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024U
#define EVENTS_MAX     256
#define QUEUE_MAX      (1U << 18)

typedef struct Monitor {
        int listener, fd; /* fd: -1 while nobody is connected */
        bool negotiated;
        size_t fill;
        char line[LINE_MAX_BYTES];
} Monitor;

typedef struct Later {
        uint64_t due_usec;
        unsigned vm;
        char *reply; /* owned; NULL: the guest has done its part */
} Later;

typedef struct Queue {
        Later items[QUEUE_MAX];
        unsigned head, tail;
} Queue;

static Farm *farm;
static Monitor *monitors;
static int epoll_fd, moved_fd;
static Queue moving, replies;

static void queue_put(Queue *queue, Later item) {
        queue->items[queue->tail++ % QUEUE_MAX] = item;
        if (queue->tail - queue->head > QUEUE_MAX) {
                fprintf(stderr, "farm: more than %u things wait\n", QUEUE_MAX);
                exit(2);
        }
}

static void disconnect(unsigned i) {
        Monitor *monitor = &monitors[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = i * 2};

        (void) close(monitor->fd);
        monitor->fd = -1;
        monitor->fill = 0;
        monitor->negotiated = false;
        atomic_fetch_sub(&farm->stats.monitors, 1);
        (void) epoll_ctl(epoll_fd, EPOLL_CTL_MOD, monitor->listener, &event);
}

static void say(unsigned i, const char *text) {
        if (monitors[i].fd >= 0)
                (void) !send(monitors[i].fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void greet(unsigned i) {
        int mode = atomic_load(&farm->vms[i].monitor_mode);

        if (mode != MONITOR_DEAD)
                say(i, "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "
                       "\"package\": \"farm\"}, \"capabilities\": [\"oob\"]}}\r\n");
}

static void take_client(unsigned i) {
        Monitor *monitor = &monitors[i];
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i * 2 + 1};

        monitor->fd = accept4(monitor->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (monitor->fd < 0) {
                event = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u32 = i * 2};
                (void) epoll_ctl(epoll_fd, EPOLL_CTL_MOD, monitor->listener, &event);
                return;
        }
        atomic_store(&farm->vms[i].accepted_usec, farm_now());
        atomic_fetch_add(&farm->stats.monitors, 1);
        (void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, monitor->fd, &event);
        greet(i);
}

/* -- the VM's memory ------------------------------------------------------------------------------- */

/* Its drivers have done what was asked. */
static void settle(unsigned i) {
        FarmVm *vm = &farm->vms[i];
        uint64_t before = farm_committed_bytes(farm, i), size = atomic_load(&vm->requested_bytes);
        bool moved = atomic_load(&vm->size_bytes) != size;
        char text[256];
        uint32_t number = i;

        atomic_store(&vm->size_bytes, size);
        if (moved) {
                (void) snprintf(text, sizeof(text),
                                "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 0}, \"event\": "
                                "\"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"id\": \"vmem0\", \"size\": "
                                "%" PRIu64 ", \"qom-path\": \"/machine/peripheral/vmem0\"}}\r\n",
                                size);
                say(i, text);
        }
        if (atomic_load(&vm->balloon_bytes) != atomic_load(&vm->balloon_target)) {
                atomic_store(&vm->balloon_bytes, atomic_load(&vm->balloon_target));
                (void) snprintf(text, sizeof(text),
                                "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 0}, \"event\": "
                                "\"BALLOON_CHANGE\", \"data\": {\"actual\": %" PRIu64 "}}\r\n",
                                farm->options.boot_bytes - atomic_load(&vm->balloon_bytes));
                say(i, text);
        }
        farm_check_budget(farm, i, before);
        (void) !send(moved_fd, &number, sizeof(number), MSG_NOSIGNAL); /* they always read */
}

static void end_probe(FarmVm *vm) {
        uint64_t began_usec = atomic_exchange(&vm->probe_usec, 0);
        unsigned n;

        if (began_usec == 0)
                return;
        n = atomic_fetch_add(&farm->stats.n_latencies, 1);
        if (n < FARM_LATENCIES_MAX)
                farm->latencies_usec[n] = (uint32_t) u64_min(farm_now() - began_usec, UINT32_MAX);
}

/* wanted and present: what the VM would have, and what it has. A request that is taken back is neither way. */
static void judge(unsigned i, uint64_t wanted_bytes, uint64_t pending_bytes) {
        uint64_t usable = farm_usable_bytes(farm, i);

        if (wanted_bytes < usable) {
                atomic_fetch_add(&farm->stats.shrinks, 1);
                farm_check_shrink(farm, i, wanted_bytes, usable - wanted_bytes);
        } else if (wanted_bytes > u64_max(usable, pending_bytes)) {
                atomic_fetch_add(&farm->stats.grows, 1);
                end_probe(&farm->vms[i]);
                farm_check_grow(farm, i, wanted_bytes);
        }
}

static void begin_to_move(unsigned i) {
        if (atomic_load(&farm->vms[i].monitor_mode) != MONITOR_STUCK)
                queue_put(&moving, (Later){.due_usec = farm_now() + farm->options.work_usec, .vm = i});
}

static const char *set_requested(unsigned i, const json_t *arguments) {
        const json_t *value = json_object_get(arguments, "value");
        const char *path = json_string_value(json_object_get(arguments, "path"));
        const char *property = json_string_value(json_object_get(arguments, "property"));
        FarmVm *vm = &farm->vms[i];
        uint64_t before = farm_committed_bytes(farm, i), bytes, rest;

        if (!path || !property || strcmp(path, "/machine/peripheral/vmem0") != 0 ||
            strcmp(property, "requested-size") != 0 || !json_is_integer(value))
                return "Device '/machine/peripheral' not found";
        bytes = (uint64_t) json_integer_value(value);
        if (bytes % FARM_BLOCK_BYTES != 0)
                return "'requested-size' has to be a multiple of the 'block-size' (0x200000)";
        if (bytes > farm->options.vmem_max_bytes)
                return "'requested-size' cannot exceed the memory backend size";

        rest = farm_usable_bytes(farm, i) - atomic_load(&vm->size_bytes);
        judge(i, rest + bytes, rest + atomic_load(&vm->requested_bytes));
        atomic_store(&vm->requested_bytes, bytes);
        farm_check_budget(farm, i, before);
        begin_to_move(i);
        return NULL;
}

static const char *set_balloon(unsigned i, const json_t *arguments) {
        const json_t *value = json_object_get(arguments, "value");
        FarmVm *vm = &farm->vms[i];
        uint64_t before = farm_committed_bytes(farm, i), boot = farm->options.boot_bytes, bytes, size;

        if (!json_is_integer(value) || json_integer_value(value) <= 0)
                return "Parameter 'target' expects a size";
        bytes = u64_min((uint64_t) json_integer_value(value), boot);
        size = atomic_load(&vm->size_bytes);
        judge(i, bytes + size, boot - atomic_load(&vm->balloon_target) + size);
        atomic_store(&vm->balloon_target, boot - bytes);
        farm_check_budget(farm, i, before);
        begin_to_move(i);
        return NULL;
}

/* -- the protocol ---------------------------------------------------------------------------------- */

/* What a query returns, as text; false: it is none. */
static bool answer_query(unsigned i, const char *command, char *out, size_t size) {
        const FarmVm *vm = &farm->vms[i];
        uint64_t vmem = atomic_load(&vm->size_bytes);

        atomic_fetch_add(&farm->stats.queries, 1);
        if (strcmp(command, "query-status") == 0)
                (void) snprintf(out, size,
                                "{\"status\": \"running\", \"singlestep\": false, \"running\": true}");
        else if (strcmp(command, "query-migrate") == 0)
                (void) snprintf(out, size, "{}");
        else if (strcmp(command, "query-memory-size-summary") == 0)
                (void) snprintf(out, size, "{\"base-memory\": %" PRIu64 ", \"plugged-memory\": %" PRIu64 "}",
                                farm->options.boot_bytes, vmem);
        else if (strcmp(command, "query-memory-devices") == 0)
                (void) snprintf(out, size,
                                "[{\"type\": \"virtio-mem\", \"data\": {\"max-size\": %" PRIu64
                                ", \"memaddr\": 4294967296, \"memdev\": \"/objects/vmem0-ram\", \"node\": 0, "
                                "\"block-size\": %" PRIu64 ", \"id\": \"vmem0\", \"requested-size\": %" PRIu64
                                ", \"size\": %" PRIu64 "}}]",
                                farm->options.vmem_max_bytes, FARM_BLOCK_BYTES,
                                atomic_load(&vm->requested_bytes), vmem);
        else if (strcmp(command, "query-balloon") == 0)
                (void) snprintf(out, size, "{\"actual\": %" PRIu64 "}",
                                farm->options.boot_bytes - atomic_load(&vm->balloon_bytes));
        else
                return false;
        return true;
}

/* Returns what was wrong, or NULL with *out filled. */
static const char *execute(unsigned i, const char *command, const json_t *arguments, char *out, size_t size) {
        (void) snprintf(out, size, "{}");
        if (strcmp(command, "qmp_capabilities") == 0) {
                monitors[i].negotiated = true;
                return NULL;
        }
        if (strcmp(command, "qom-set") == 0)
                return set_requested(i, arguments);
        if (strcmp(command, "balloon") == 0)
                return set_balloon(i, arguments);
        return answer_query(i, command, out, size) ? NULL : "The command has not been found";
}

static void reply(unsigned i, const char *text) {
        int mode = atomic_load(&farm->vms[i].monitor_mode);

        if (mode == MONITOR_SLOW)
                queue_put(&replies, (Later){
                                            .due_usec = farm_now() + FARM_SLOW_REPLY_USEC,
                                            .vm = i,
                                            .reply = strdup(text),
                                    });
        else if (mode != MONITOR_DEAD && mode != MONITOR_HUNG)
                say(i, text);
}

static void take_command(unsigned i, const char *line, size_t size) {
        json_t *root = json_loadb(line, size, 0, NULL);
        const char *command = json_string_value(json_object_get(root, "execute"));
        json_int_t id = json_integer_value(json_object_get(root, "id"));
        char value[512], text[768];
        const char *wrong;

        if (command) {
                wrong = execute(i, command, json_object_get(root, "arguments"), value, sizeof(value));
                if (wrong) {
                        atomic_fetch_add(&farm->stats.refused, 1);
                        (void) snprintf(text, sizeof(text),
                                        "{\"id\": %" JSON_INTEGER_FORMAT
                                        ", \"error\": {\"class\": \"GenericError\", \"desc\": \"%s\"}}\r\n",
                                        id, wrong);
                } else
                        (void) snprintf(text, sizeof(text),
                                        "{\"return\": %s, \"id\": %" JSON_INTEGER_FORMAT "}\r\n", value, id);
                reply(i, text);
        }
        json_decref(root);
}

static void take_bytes(unsigned i) {
        Monitor *monitor = &monitors[i];
        ssize_t n = recv(monitor->fd, monitor->line + monitor->fill, LINE_MAX_BYTES - monitor->fill, 0);
        char *begin = monitor->line, *end;

        if (n <= 0) {
                if (n == 0 || errno != EAGAIN)
                        disconnect(i);
                return;
        }
        monitor->fill += (size_t) n;
        while ((end = memchr(begin, '\n', monitor->fill))) {
                size_t used = (size_t) (end + 1 - begin);

                take_command(i, begin, used);
                begin += used;
                monitor->fill -= used;
        }
        memmove(monitor->line, begin, monitor->fill);
}

/* -- the loop -------------------------------------------------------------------------------------- */

static void do_what_is_due(uint64_t now_usec) {
        while (moving.head != moving.tail && moving.items[moving.head % QUEUE_MAX].due_usec <= now_usec)
                settle(moving.items[moving.head++ % QUEUE_MAX].vm);
        while (replies.head != replies.tail && replies.items[replies.head % QUEUE_MAX].due_usec <= now_usec) {
                Later *later = &replies.items[replies.head++ % QUEUE_MAX];

                say(later->vm, later->reply);
                free(later->reply);
        }
}

/* Milliseconds until something is due; at most 100. */
static int patience(uint64_t now_usec) {
        uint64_t due_usec = now_usec + 100 * USEC_PER_MSEC;

        if (moving.head != moving.tail)
                due_usec = u64_min(due_usec, moving.items[moving.head % QUEUE_MAX].due_usec);
        if (replies.head != replies.tail)
                due_usec = u64_min(due_usec, replies.items[replies.head % QUEUE_MAX].due_usec);
        return (int) ((u64_sub(due_usec, now_usec) + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

void farm_monitors(Farm *f, int fd) {
        static const uint32_t ready = UINT32_MAX;
        struct epoll_event events[EVENTS_MAX];

        farm = f;
        moved_fd = fd;
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        monitors = calloc(f->options.n_vms, sizeof(*monitors));
        if (!monitors || epoll_fd < 0)
                exit(2);
        for (unsigned i = 0; i < f->options.n_vms; i++) {
                struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u32 = i * 2};

                monitors[i] = (Monitor){.listener = farm_listen(f, i, ".qmp"), .fd = -1};
                if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, monitors[i].listener, &event) < 0)
                        exit(2);
        }
        (void) !send(moved_fd, &ready, sizeof(ready), MSG_NOSIGNAL);

        for (;;) {
                int n = epoll_wait(epoll_fd, events, EVENTS_MAX, patience(farm_now()));

                for (int k = 0; k < n; k++) {
                        unsigned i = events[k].data.u32 / 2;

                        if (events[k].data.u32 % 2 == 0)
                                take_client(i);
                        else if (monitors[i].fd >= 0)
                                take_bytes(i);
                }
                do_what_is_due(farm_now());
        }
}
