/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two things that share a file in /proc. The parser is strict, because a total that is read wrong is a
 * stall that never was. Averages are checked for form and dropped: avg10 lags by seconds, every rate
 * here is made of two totals (Linux kernel/sched/psi.c folds averages every 2 s).
 *
 * The trigger holds the only descriptor that may carry it: a second write gives EBUSY, closing disarms.
 * Only EPOLLPRI is asked for; POLLIN and POLLOUT are always set on a pressure file and would spin. The
 * string is written with its NUL: the kernel overwrites the last byte it is given, and without it
 * "... 500000" would be read as 50000, which 6.1 refuses and 6.12 silently takes.
 *
 * sd_event_add_memory_pressure() (systemd 254) is no substitute: it watches the service's own cgroup.
 */

#include "agent/signals/psi.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/parse.h"

#define PSI_PATH "proc/pressure/memory"

/* -- the text -------------------------------------------------------------------------------------- */

typedef enum PsiField {
        PSI_AVG10,
        PSI_AVG60,
        PSI_AVG300,
        PSI_TOTAL,
        PSI_FIELD_MAX,
} PsiField;

static const char *const psi_field_names[PSI_FIELD_MAX] = {
        [PSI_AVG10] = "avg10=",
        [PSI_AVG60] = "avg60=",
        [PSI_AVG300] = "avg300=",
        [PSI_TOTAL] = "total=",
};

#define PSI_FIELDS_ALL ((1U << PSI_FIELD_MAX) - 1)

static bool has_prefix(const char *text, size_t size, const char *prefix) {
        size_t n = strlen(prefix);

        return size >= n && memcmp(text, prefix, n) == 0;
}

/* "12.34": digits, a point, two digits. */
static bool average_is_valid(const char *text, size_t size) {
        uint64_t ignored;

        return size >= STRLEN("0.00") && text[size - 3] == '.' && parse_u64(text, size - 3, &ignored) >= 0 &&
               parse_u64(text + size - 2, 2, &ignored) >= 0;
}

static int parse_field(const char *text, size_t size, unsigned *seen, uint64_t *total_usec) {
        for (unsigned i = 0; i < PSI_FIELD_MAX; i++) {
                size_t n = strlen(psi_field_names[i]);

                if (!has_prefix(text, size, psi_field_names[i]))
                        continue;
                if (*seen & (1U << i))
                        return -EINVAL;
                *seen |= 1U << i;

                if (i == PSI_TOTAL)
                        return parse_u64(text + n, size - n, total_usec) < 0 ? -EINVAL : 0;
                return average_is_valid(text + n, size - n) ? 0 : -EINVAL;
        }
        return -EINVAL;
}

/* What follows the name of a line. */
static int parse_fields(const char *text, size_t size, uint64_t *ret_total_usec) {
        unsigned seen = 0;
        uint64_t total_usec = 0;

        for (;;) {
                const char *blank = memchr(text, ' ', size);
                size_t n = blank ? (size_t) (blank - text) : size;
                int r;

                r = parse_field(text, n, &seen, &total_usec);
                if (r < 0)
                        return r;
                if (!blank)
                        break;
                text += n + 1;
                size -= n + 1;
        }
        if (seen != PSI_FIELDS_ALL)
                return -EINVAL;

        *ret_total_usec = total_usec;
        return 0;
}

static int parse_line(const char *text, size_t size, PsiTotals *totals, bool *has_some) {
        if (has_prefix(text, size, "some ") && !*has_some) {
                *has_some = true;
                return parse_fields(text + 5, size - 5, &totals->some_usec);
        }
        if (has_prefix(text, size, "full ") && !totals->has_full) {
                totals->has_full = true;
                return parse_fields(text + 5, size - 5, &totals->full_usec);
        }
        return -EINVAL;
}

int psi_parse(const char *text, size_t size, PsiTotals *ret) {
        PsiTotals totals = {};
        bool has_some = false;

        assert(text || size == 0);
        assert(ret);

        while (size > 0) {
                const char *newline = memchr(text, '\n', size);
                size_t n = newline ? (size_t) (newline - text) : size;
                int r;

                r = parse_line(text, n, &totals, &has_some);
                if (r < 0)
                        return r;
                if (!newline)
                        break;
                text += n + 1;
                size -= n + 1;
        }
        if (!has_some)
                return -EINVAL;

        *ret = totals;
        return 0;
}

/* -- the trigger ----------------------------------------------------------------------------------- */

struct PsiTrigger {
        int fd;
        sd_event_source *source;
        uint64_t window_usec;
        PsiTriggerHandler handler;
        void *userdata; /* borrowed */
};

static int on_trigger(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        PsiTrigger *trigger = userdata;

        /* An fd without a trigger shows EPOLLERR for ever: PSI was switched off, or the file has gone. */
        if (revents & (EPOLLERR | EPOLLHUP)) {
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                trigger->handler(trigger, -ENODEV, trigger->userdata);
                return 0;
        }

        trigger->handler(trigger, 0, trigger->userdata);
        return 0;
}

static int arm(int fd, uint64_t stall_usec, uint64_t window_usec) {
        char text[32]; /* the kernel's own limit */
        int n;

        n = snprintf(text, sizeof(text), "some %" PRIu64 " %" PRIu64, stall_usec, window_usec);
        assert(n > 0 && (size_t) n < sizeof(text));

        return write(fd, text, (size_t) n + 1) < 0 ? -errno : 0;
}

static int trigger_open(PsiTrigger *trigger, const RootDir *root) {
        int r;

        trigger->fd = rootdir_open(root, PSI_PATH, O_RDWR | O_NONBLOCK);
        if (trigger->fd < 0)
                return trigger->fd;

        trigger->window_usec = PSI_TRIGGER_WINDOW_USEC;
        r = arm(trigger->fd, PSI_TRIGGER_STALL_USEC, PSI_TRIGGER_WINDOW_USEC);
        if (r != -EINVAL)
                return r;

        trigger->window_usec = PSI_TRIGGER_UNPRIVILEGED_WINDOW_USEC;
        return arm(trigger->fd, PSI_TRIGGER_UNPRIVILEGED_STALL_USEC, PSI_TRIGGER_UNPRIVILEGED_WINDOW_USEC);
}

int psi_trigger_new(sd_event *event, const RootDir *root, PsiTriggerHandler handler, void *userdata,
                    PsiTrigger **ret) {
        _cleanup_(psi_trigger_freep) PsiTrigger *trigger = NULL;
        int r;

        assert(event);
        assert(root);
        assert(handler);
        assert(ret);

        trigger = malloc(sizeof(*trigger));
        if (!trigger)
                return -ENOMEM;
        *trigger = (PsiTrigger){
                .fd = -EBADF,
                .handler = handler,
                .userdata = userdata,
        };

        r = trigger_open(trigger, root);
        if (r < 0)
                return r;

        r = sd_event_add_io(event, &trigger->source, trigger->fd, EPOLLPRI, on_trigger, trigger);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(trigger->source, "psi-trigger");

        *ret = TAKE_PTR(trigger);
        return 0;
}

PsiTrigger *psi_trigger_free(PsiTrigger *trigger) {
        if (!trigger)
                return NULL;

        (void) sd_event_source_disable_unref(trigger->source);
        trigger->fd = safe_close(trigger->fd);
        free(trigger);
        return NULL;
}

uint64_t psi_trigger_window_usec(const PsiTrigger *trigger) {
        assert(trigger);
        return trigger->window_usec;
}
