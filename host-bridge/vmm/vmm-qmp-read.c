/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Readings: up to six queries sent at once, one model when all have answered. Rejected: one query after the other, which
 * takes six turns of a monitor that has others to serve, and tells of six moments. When they are due: vmm-watch.c.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "host-bridge/vmm/qmp-memory.h"
#include "host-bridge/vmm/vmm-qmp-internal.h"

typedef enum Query {
        QUERY_STATUS,
        QUERY_MIGRATE,
        QUERY_SUMMARY,
        QUERY_MACHINE,
        QUERY_DEVICES,
        QUERY_BALLOON,
        QUERY_MAX,
} Query;

static const char *const query_names[QUERY_MAX] = {
        [QUERY_STATUS] = "query-status",
        [QUERY_MIGRATE] = "query-migrate",
        [QUERY_SUMMARY] = "query-memory-size-summary",
        [QUERY_MACHINE] = "qom-get",
        [QUERY_DEVICES] = "query-memory-devices",
        [QUERY_BALLOON] = "query-balloon",
};

/* Few of thousands are read at a time: the others hold nothing for it. */
struct Reading {
        unsigned n_outstanding;
        int error;
        MemoryModel model;
        bool running, migrating;
        unsigned n_unusable;
};

void vmm_qmp_drop_reading(VmmQmp *q) {
        free(q->reading);
        q->reading = NULL;
}

int vmm_qmp_note_dimm(VmmQmp *q, unsigned number, uint64_t bytes) {
        MemoryModel model = vmm_qmp_model(q);
        int r;

        memory_model_set_dimm(&model, number, bytes);
        r = sparse_set(&q->model, &model, sizeof(model));
        return r < 0 ? r : 0;
}

static void plan_next_reading(VmmQmp *q, const MemoryModel *model) {
        bool soon = vmm_watch_is_on(&q->watch, q->event, model, false);

        vmm_qmp_arm(q,
                    soon ? q->options->poll_usec : vmm_watch_pause_usec(&q->watch, q->options->refresh_usec));
}

/* Returns false if it is of no use; the connection is dropped then. */
static bool keep_reading(VmmQmp *q, Reading *reading) {
        int r;

        reading->model.known = true;
        if (reading->error < 0 || !memory_model_is_sane(&reading->model)) {
                vmm_qmp_drop(q, "its answers make no sense");
                return false;
        }
        if (reading->n_unusable > 0 && !q->unusable_told) {
                log_warning(
                        "VM %s: %u virtio-mem devices can not be resized: they have no id, or are beyond %u",
                        q->name, reading->n_unusable, MEMORY_MODEL_DEVICES_MAX);
                q->unusable_told = true;
        }

        r = sparse_set(&q->model, &reading->model, sizeof(reading->model));
        if (r < 0) {
                vmm_qmp_drop(q, "out of memory");
                return false;
        }
        if (r > 0)
                vmm_watch_begin(&q->watch, q->event);
        q->retry_usec = q->options->retry_min_usec; /* only a monitor that answers closes the breaker */
        plan_next_reading(q, &reading->model);
        return true;
}

static void finish_reading(VmmQmp *q) {
        _cleanup_free_ Reading *reading = TAKE_PTR(q->reading);

        /* It says nothing of a command that was sent meanwhile, and would be taken for its outcome. */
        if (q->overtaken) {
                (void) vmm_qmp_read(q); /* a failure shows as a lost connection */
                return;
        }
        if (!keep_reading(q, reading) ||
            !vmm_tell_run_state(&q->vmm, reading->running && !reading->migrating) ||
            !vmm_tell(&q->vmm, &(VmmEvent){.kind = VMM_MODEL, .model = &reading->model}))
                return;
        if (!q->ready)
                return;
        vmm_qmp_ask_facts(q);
        vmm_qmp_dimm_look(q);
        if (q->again && q->ready && !q->reading)
                (void) vmm_qmp_read(q); /* a failure shows as a lost connection */
}

/* What is given on QEMU's command line never changes. */
static bool is_known(const VmmQmp *q, Query query) {
        return (query == QUERY_MACHINE && q->machine_known) || (query == QUERY_SUMMARY && q->boot_bytes > 0);
}

static int take_summary(VmmQmp *q, const json_t *value) {
        MemoryModel *model = &q->reading->model;
        int r;

        r = value ? qmp_memory_read_summary(value, model) : -EBADMSG;
        q->boot_bytes = r < 0 ? 0 : model->boot_bytes;
        return r;
}

/* Before QEMU 7.1 there is no such property: where it does not say, no DIMM is planned; nothing else depends on it. */
static void take_machine(VmmQmp *q, const json_t *value) {
        MemoryModel model = {};

        if (!value || qmp_memory_read_machine(value, &model) < 0)
                model = (MemoryModel){};
        q->slots = model.free_slots;
        q->room_bytes = model.room_bytes;
        q->machine_known = true;
}

static int take_answer(VmmQmp *q, const QmpReply *reply) {
        Reading *reading = q->reading;

        switch ((Query) reply->cookie) {

        case QUERY_STATUS:
                reading->running = reply->value && qmp_memory_is_running(reply->value);
                return 0;

        case QUERY_MIGRATE: /* a build without migration has no such command */
                reading->migrating = reply->value && qmp_memory_is_migrating(reply->value);
                return 0;

        case QUERY_SUMMARY:
                return take_summary(q, reply->value);

        case QUERY_MACHINE:
                take_machine(q, reply->value);
                return 0;

        case QUERY_DEVICES: /* a machine type without hotplug may refuse: it has none then */
                reading->model.free_slots = q->slots;
                reading->model.room_bytes = q->room_bytes;
                return reply->value
                               ? qmp_memory_read_devices(reply->value, &reading->model, &reading->n_unusable)
                               : 0;

        case QUERY_BALLOON: /* DeviceNotActive, KVMMissingCap: it has none */
                return reply->value ? qmp_memory_read_balloon(reply->value, &reading->model) : 0;

        case QUERY_MAX:
                break;
        }
        return -EBADMSG;
}

static void on_answer(Qmp *qmp, const QmpReply *reply, void *userdata) {
        VmmQmp *q = userdata;
        int r;

        assert(q->reading && q->reading->n_outstanding > 0);

        r = take_answer(q, reply);
        if (r < 0)
                q->reading->error = r;
        if (--q->reading->n_outstanding == 0)
                finish_reading(q);
}

int vmm_qmp_read(VmmQmp *q) {
        QmpCommand commands[QUERY_MAX];
        unsigned n = 0;
        int r;

        if (!q->ready)
                return -ENOTCONN;
        if (q->reading) {
                q->again = true;
                return 0;
        }

        q->again = q->overtaken = false;
        q->reading = calloc(1, sizeof(*q->reading)); /* padding too: models are compared as bytes */
        if (!q->reading)
                return -ENOMEM;
        q->reading->model.boot_bytes = q->boot_bytes;
        for (Query i = 0; i < QUERY_MAX; i++) {
                if (is_known(q, i))
                        continue;
                commands[n] = (QmpCommand){.name = query_names[i], .cookie = i};
                if (i == QUERY_MACHINE)
                        commands[n].arguments =
                                json_pack("{s:s, s:s}", "path", "/machine", "property", "memory");
                n++;
        }
        q->reading->n_outstanding = n;
        r = qmp_execute_all(q->qmp, commands, n, on_answer);
        if (r < 0)
                vmm_qmp_drop_reading(q);
        return r;
}
