/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One VM's monitor, kept connected. The breaker is the back-off itself: a monitor that is absent, hangs
 * or talks nonsense is left alone for 100 ms, doubling to 5 s, and only a complete reading sets that back, so
 * that one which greets and then hangs does not get a query every 100 ms. Nothing here waits.
 */

#include "host-bridge/vmm/vmm-qmp.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "host-bridge/vmm/vmm-qmp-internal.h"
#include "host-bridge/vmm/vmm-words.h"

const VmmQmpOptions vmm_qmp_defaults = {
        .handshake_timeout_usec = 2 * USEC_PER_SEC,
        .reply_timeout_usec = 2 * USEC_PER_SEC,
        .retry_min_usec = 100 * USEC_PER_MSEC,
        .retry_max_usec = 5 * USEC_PER_SEC,
        .pull_timeout_usec = 4 * USEC_PER_SEC,
        .poll_usec = 100 * USEC_PER_MSEC,
        .refresh_usec = VMM_REFRESH_USEC,
};

/*
 * The monitors of a host are all found in one moment when the bridge starts. Connected all at once they would proceed side by
 * side: none is ready before nearly all are, and the answers of all of them lie in the heap between what stays. To give the
 * holes that 10,000 VMs left back took malloc_trim() 79 ms in one go, and 9 ms with monitors connected one after the
 * other (a busy machine, both). The last of 10,000 waits for five seconds so.
 */
#define CONNECT_USEC 500U

void vmm_qmp_arm(VmmQmp *q, uint64_t usec) {
        deadline_set_relative(&q->timer, usec);
}

void vmm_qmp_drop(VmmQmp *q, const char *why) {
        q->qmp = qmp_free(q->qmp);
        q->ready = false;
        vmm_qmp_drop_reading(q);
        q->again = false;
        q->machine_known = false;
        q->boot_bytes = 0;
        q->facts_due_usec = 0;
        vmm_watch_renew(&q->watch);
        vmm_qmp_dimm_drop(q);
        vmm_qmp_arm(q, q->retry_usec);
        q->retry_usec = u64_min(q->retry_usec * 2, q->options->retry_max_usec);
        (void) vmm_tell_lost(&q->vmm, why);
}

/* What each event of QEMU means to us; all of them lead to a fresh reading. */
static const struct {
        const char *name;
        VmmEventKind kind; /* VMM_MODEL: the reading says it all */
} known_events[] = {
        {"MEMORY_DEVICE_SIZE_CHANGE", VMM_MODEL},
        {"BALLOON_CHANGE", VMM_MODEL},
        {"ACPI_DEVICE_OST", VMM_MODEL},
        {"DEVICE_DELETED", VMM_MODEL},
        {"DEVICE_UNPLUG_GUEST_ERROR", VMM_MODEL},
        {"MEM_UNPLUG_ERROR", VMM_MODEL},
        {"MIGRATION", VMM_MODEL},
        {"RESUME", VMM_MODEL},
        {"WAKEUP", VMM_MODEL},
        {"STOP", VMM_PAUSED},
        {"SUSPEND", VMM_PAUSED},
        {"RESET", VMM_RESET},
        {"SHUTDOWN", VMM_SHUTDOWN},
};

/* Returns false if the object is no more. */
static bool take_dimm_event(VmmQmp *q, const QmpSignal *signal) {
        bool freed = false, *outer = q->vmm.freed;

        q->vmm.freed = &freed;
        vmm_qmp_dimm_event(q, signal->name, signal->data);
        if (!freed)
                q->vmm.freed = outer;
        else if (outer)
                *outer = true;
        return !freed;
}

static void on_event(VmmQmp *q, const QmpSignal *signal) {
        VmmEventKind kind = VMM_EVENT_KIND_MAX;
        const char *name = signal->name;

        for (size_t i = 0; i < ELEMENTSOF(known_events) && kind == VMM_EVENT_KIND_MAX; i++)
                if (strcmp(known_events[i].name, name) == 0)
                        kind = known_events[i].kind;
        if (kind == VMM_EVENT_KIND_MAX)
                return;

        vmm_watch_begin(&q->watch, q->event);
        if (!take_dimm_event(q, signal))
                return;
        if (kind == VMM_PAUSED) {
                q->vmm.state_told = true;
                q->vmm.running = false;
        }
        if (kind != VMM_MODEL && !vmm_tell(&q->vmm, &(VmmEvent){.kind = kind}))
                return;
        if (q->ready)
                (void) vmm_qmp_read(q); /* a failure shows as a lost connection */
}

static void on_signal(Qmp *qmp, const QmpSignal *signal, void *userdata) {
        VmmQmp *q = userdata;
        char why[VMM_WORDS_MAX];

        switch (signal->kind) {

        case QMP_READY:
                q->ready = q->backends_due = true;
                q->n_looks = 0;
                if (vmm_tell_connected(&q->vmm) && q->ready)
                        (void) vmm_qmp_read(q); /* a failure shows as a lost connection */
                return;

        case QMP_EVENT:
                on_event(q, signal);
                return;

        case QMP_CLOSED:
                (void) snprintf(why, sizeof(why), "%s", strerror(-signal->error));
                vmm_qmp_drop(q, why);
                return;
        }
}

static void on_timer(void *userdata) {
        VmmQmp *q = userdata;
        QmpOptions options = {
                .handshake_timeout_usec = q->options->handshake_timeout_usec,
                .reply_timeout_usec = q->options->reply_timeout_usec,
        };
        char why[VMM_WORDS_MAX];
        int r;

        if (q->qmp) {
                r = vmm_qmp_read(q);
                if (r < 0 && q->ready)
                        vmm_qmp_drop(q, "it takes no more commands");
                return;
        }

        r = qmp_new(q->event, q->path, &options, on_signal, q, &q->qmp);
        if (r < 0) {
                (void) snprintf(why, sizeof(why), "%s", strerror(-r));
                vmm_qmp_drop(q, why);
        }
}

static void on_command_reply(Qmp *qmp, const QmpReply *reply, void *userdata) {
        VmmQmp *q = userdata;
        char text[VMM_WORDS_MAX];

        if (!reply->value) {
                vmm_copy_words(reply->error_text, text);
                (void) vmm_tell(&q->vmm,
                                &(VmmEvent){.kind = VMM_REJECTED, .id = reply->cookie, .text = text});
                return;
        }
        if (vmm_tell(&q->vmm, &(VmmEvent){.kind = VMM_ACCEPTED, .id = reply->cookie}) && q->ready)
                (void) vmm_qmp_read(q); /* a failure shows as a lost connection */
}

static int command_virtio_mem(VmmQmp *q, uint64_t id, const MemoryModel *model, const PlanStep *step) {
        const VirtioMem *device = &model->virtio_mem[step->device];
        char path[sizeof("/machine/peripheral/") + MEMORY_MODEL_ID_MAX];

        if (step->device >= model->n_virtio_mem)
                return -ENODEV;
        if (step->to_bytes > device->max_bytes || step->to_bytes % device->block_bytes != 0)
                return -ERANGE;

        (void) snprintf(path, sizeof(path), "/machine/peripheral/%s", device->id);
        return qmp_execute(q->qmp, "qom-set",
                           json_pack("{s:s, s:s, s:I}", "path", path, "property", "requested-size", "value",
                                     (json_int_t) step->to_bytes),
                           id, on_command_reply);
}

static int command_balloon(VmmQmp *q, uint64_t id, const MemoryModel *model, const PlanStep *step) {
        uint64_t value;

        if (!model->has_balloon)
                return -ENODEV;
        value = memory_model_balloon_value(model, step->to_bytes);
        if (value == 0)
                return -ERANGE;
        /* Too much is cut by QEMU; too little, by the size of a DIMM, panics a guest (kernel-qemu.md 3.3). */
        value = u64_add(value, vmm_qmp_dimm_coming_bytes(q));

        vmm_watch_note_balloon(&q->watch, step->to_bytes);
        return qmp_execute(q->qmp, "balloon", json_pack("{s:I}", "value", (json_int_t) value), id,
                           on_command_reply);
}

static int vmm_qmp_command(Vmm *vmm, uint64_t id, const PlanStep *step) {
        VmmQmp *q = CONTAINER_OF(vmm, VmmQmp, vmm);

        MemoryModel model;

        assert(step);

        model = vmm_qmp_model(q);
        if (!q->ready || !model.known)
                return -ENOTCONN;

        vmm_watch_begin(&q->watch, q->event);
        vmm_qmp_arm(q, q->options->poll_usec);
        q->overtaken = q->reading != NULL;
        switch (step->actuator) {

        case ACTUATOR_BALLOON:
                return command_balloon(q, id, &model, step);

        case ACTUATOR_VIRTIO_MEM:
                return command_virtio_mem(q, id, &model, step);

        case ACTUATOR_DIMM:
                return vmm_qmp_dimm_command(q, id, step);

        case ACTUATOR_NONE:
        case ACTUATOR_MAX:
                break;
        }
        return -EOPNOTSUPP;
}

static int vmm_qmp_refresh(Vmm *vmm) {
        return vmm_qmp_read(CONTAINER_OF(vmm, VmmQmp, vmm));
}

static Vmm *vmm_qmp_free(Vmm *vmm) {
        VmmQmp *q = CONTAINER_OF(vmm, VmmQmp, vmm);

        vmm_note_freed(vmm);
        deadline_leave(&q->timer);
        (void) qmp_free(q->qmp);
        vmm_qmp_dimm_drop(q);
        vmm_qmp_drop_reading(q);
        (void) sparse_free(q->model);
        (void) sd_event_unref(q->event);
        free(q->path);
        free(q);
        return NULL;
}

static int vmm_qmp_peer_pid(const Vmm *vmm) {
        const VmmQmp *q = (const VmmQmp *) vmm;

        pid_t pid = q->qmp ? qmp_peer_pid(q->qmp) : 0;

        return pid > 0 ? pid : -ENOTCONN;
}

static const VmmOps vmm_qmp_ops = {
        .name = "qmp",
        .refresh = vmm_qmp_refresh,
        .command = vmm_qmp_command,
        .peer_pid = vmm_qmp_peer_pid,
        .free = vmm_qmp_free,
};

int vmm_qmp_new(sd_event *event, const char *name, const char *path, const VmmQmpOptions *options,
                VmmHandler handler, void *userdata, Vmm **ret) {
        static uint64_t connect_usec;
        _cleanup_(vmm_freep) Vmm *vmm = NULL;
        uint64_t now_usec;
        VmmQmp *q;
        int r;

        assert(event);
        assert(name);
        assert(path);
        assert(options);
        assert(handler);
        assert(ret);

        q = malloc(sizeof(*q));
        if (!q)
                return -ENOMEM;
        *q = (VmmQmp){
                .vmm = {.ops = &vmm_qmp_ops, .handler = handler, .userdata = userdata},
                .options = options,
                .event = sd_event_ref(event),
                .name = name,
                .path = strdup(path),
                .retry_usec = options->retry_min_usec,
                .watch = vmm_watch_new(),
        };
        vmm = &q->vmm;
        if (!q->path)
                return -ENOMEM;

        r = deadline_join(event, on_timer, q, &q->timer);
        if (r < 0)
                return r;
        (void) sd_event_now(event, CLOCK_MONOTONIC, &now_usec);
        connect_usec = u64_max(now_usec, u64_add(connect_usec, CONNECT_USEC));
        deadline_set(&q->timer, connect_usec);

        *ret = TAKE_PTR(vmm);
        return 0;
}
