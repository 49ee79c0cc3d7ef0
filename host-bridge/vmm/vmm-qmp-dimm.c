/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A DIMM over QMP: several commands, one outcome. Plugged by object-add and device_add, with the backend taken away again
 * where the device was refused; pulled by device_del, which only asks: the guest lets go (DEVICE_DELETED, then
 * the backend is freed), says no (ACPI_DEVICE_OST, kernel-qemu.md 4.2) or says nothing. Waiting for QEMU's own
 * DEVICE_UNPLUG_GUEST_ERROR was rejected: QEMU does not send it for a guest that is busy.
 *
 * What a crash left behind costs the host memory, so backends of ours that no DIMM uses are looked for after
 * each connect, and one that is in the way of a plug is replaced. Errors' texts are not parsed: a command that failed for
 * the other reason makes the next one fail too.
 */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "host-bridge/vmm/dimm-name.h"
#include "host-bridge/vmm/qmp-memory.h"
#include "host-bridge/vmm/vmm-qmp-internal.h"
#include "host-bridge/vmm/vmm-words.h"

#define BACKEND_SUFFIX "-mem"
#define LOOKS_MAX      20U /* per connection: what can not be freed by then is somebody's */

typedef enum DimmStage {
        DIMM_LOOKING,   /* to be plugged: is it there already? */
        DIMM_MAKING,    /* its backend */
        DIMM_REPLACING, /* a backend of its name is in the way */
        DIMM_ADDING,
        DIMM_UNDOING,  /* refused: the backend goes again */
        DIMM_DELETING, /* to be pulled: device_del sent */
        DIMM_LEAVING,  /* the guest is asked */
        DIMM_FREEING,  /* it is gone, and its backend goes */
} DimmStage;

struct DimmWork {
        DimmStage stage;
        unsigned number;
        uint64_t bytes; /* to be plugged; 0: to be pulled */
        uint64_t id;    /* of the owner's command */
        uint64_t serial;
        bool replaced;
        sd_event_source *timer;
        char text[VMM_WORDS_MAX]; /* why it was refused */
        /* a plug that waits for this pull */
        bool has_next;
        uint64_t next_id, next_bytes;
};

static void on_reply(Qmp *qmp, const QmpReply *reply, void *userdata);

static DimmWork *dimm_work_free(DimmWork *work) {
        if (work)
                (void) sd_event_source_disable_unref(work->timer);
        free(work);
        return NULL;
}

static void name_of(unsigned number, char ret[static DIMM_NAME_MAX], const char *suffix) {
        (void) snprintf(ret, DIMM_NAME_MAX, DIMM_NAME_PREFIX "%u%s", number, suffix);
}

static int execute(VmmQmp *q, DimmStage stage, const char *command, json_t *arguments) {
        q->dimm->stage = stage;
        return qmp_execute(q->qmp, command, arguments, q->dimm->serial, on_reply);
}

/* device_del and object-del, for what is called NAME or NAME-mem. */
static int delete (VmmQmp *q, DimmStage stage, const char *command, const char *suffix) {
        char id[DIMM_NAME_MAX];

        name_of(q->dimm->number, id, suffix);
        return execute(q, stage, command, json_pack("{s:s}", "id", id));
}

/* The other devices of a VM may see its memory through file descriptors (vhost-user): then this must be shared too. */
static int make_backend(VmmQmp *q) {
        char id[DIMM_NAME_MAX];
        json_t *arguments;

        name_of(q->dimm->number, id, BACKEND_SUFFIX);
        arguments = q->memory_is_shared
                            ? json_pack("{s:s, s:s, s:I, s:b}", "qom-type", "memory-backend-memfd", "id", id,
                                        "size", (json_int_t) q->dimm->bytes, "share", 1)
                            : json_pack("{s:s, s:s, s:I}", "qom-type", "memory-backend-ram", "id", id, "size",
                                        (json_int_t) q->dimm->bytes);
        return execute(q, DIMM_MAKING, "object-add", arguments);
}

static int add_device(VmmQmp *q) {
        char id[DIMM_NAME_MAX], backend[DIMM_NAME_MAX];

        name_of(q->dimm->number, id, "");
        name_of(q->dimm->number, backend, BACKEND_SUFFIX);
        /* A reading that began before may have no DIMM, and its size in the balloon. */
        q->overtaken = q->reading != NULL;
        return execute(q, DIMM_ADDING, "device_add",
                       json_pack("{s:s, s:s, s:s}", "driver", "pc-dimm", "id", id, "memdev", backend));
}

static int begin_plug(VmmQmp *q) {
        return vmm_qmp_model(q).dimm[q->dimm->number].size_bytes > 0
                       ? execute(q, DIMM_LOOKING, "query-memory-devices", NULL)
                       : make_backend(q);
}

static void finish(VmmQmp *q, VmmEventKind kind) {
        DimmWork *work = TAKE_PTR(q->dimm);
        int r = 0;
        bool here;

        /* Before the owner hears of it: no command of his comes between a pull and the plug that waited for it. */
        if (work->has_next)
                r = vmm_qmp_dimm_command(q, work->next_id,
                                         &(PlanStep){.actuator = ACTUATOR_DIMM,
                                                     .device = work->number,
                                                     .to_bytes = work->next_bytes});
        here = vmm_tell(&q->vmm, &(VmmEvent){.kind = kind,
                                             .id = work->id,
                                             .text = kind == VMM_REJECTED ? work->text : NULL});
        if (here && r < 0)
                here = vmm_tell(&q->vmm, &(VmmEvent){.kind = VMM_REJECTED, .id = work->next_id});
        (void) dimm_work_free(work);
        if (here && q->ready)
                (void) vmm_qmp_read(q); /* a failure shows as a lost connection */
}

static void reject(VmmQmp *q, const char *text) {
        if (q->dimm->text[0] == '\0')
                vmm_copy_words(text, q->dimm->text);
        finish(q, VMM_REJECTED);
}

/* The guest has let go, or it was never there. */
static int on_gone(VmmQmp *q) {
        int r = vmm_qmp_note_dimm(q, q->dimm->number, 0);

        return r < 0 ? r : delete (q, DIMM_FREEING, "object-del", BACKEND_SUFFIX);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        VmmQmp *q = userdata;

        /* It may still let go: the backend is freed then, whoever waits for it. */
        reject(q, "the guest neither lets go of the DIMM nor refuses to");
        return 0;
}

static int on_added(VmmQmp *q, const QmpReply *reply) {
        int r;

        if (reply->value) {
                r = vmm_qmp_note_dimm(q, q->dimm->number, q->dimm->bytes);
                if (r >= 0)
                        finish(q, VMM_ACCEPTED);
                return r;
        }
        vmm_copy_words(reply->error_text, q->dimm->text);
        return delete (q, DIMM_UNDOING, "object-del", BACKEND_SUFFIX);
}

static int on_looked(VmmQmp *q, const QmpReply *reply) {
        MemoryModel model = {};
        unsigned n_unusable;
        uint64_t there;

        if (!reply->value || qmp_memory_read_devices(reply->value, &model, &n_unusable) < 0) {
                reject(q, "it does not say which DIMMs there are");
                return 0;
        }
        there = model.dimm[q->dimm->number].size_bytes;
        if (there == 0)
                return make_backend(q);
        if (there == q->dimm->bytes)
                finish(q, VMM_ACCEPTED);
        else
                reject(q, "there is a DIMM of that name and of another size");
        return 0;
}

static int on_made(VmmQmp *q, const QmpReply *reply) {
        if (reply->value)
                return add_device(q);
        if (q->dimm->replaced) {
                reject(q, reply->error_text);
                return 0;
        }
        /* Left by a bridge that ended between two commands, or there is no memory: then this fails too. */
        q->dimm->replaced = true;
        vmm_copy_words(reply->error_text, q->dimm->text);
        return delete (q, DIMM_REPLACING, "object-del", BACKEND_SUFFIX);
}

static int on_replaced(VmmQmp *q, const QmpReply *reply) {
        if (!reply->value) {
                reject(q, q->dimm->text);
                return 0;
        }
        q->dimm->text[0] = '\0';
        return make_backend(q);
}

static int on_deleting(VmmQmp *q, const QmpReply *reply) {
        if (reply->value) {
                q->dimm->stage = DIMM_LEAVING;
                return 0;
        }
        if (strcmp(reply->error_class, "DeviceNotFound") == 0)
                return on_gone(q);
        reject(q, reply->error_text);
        return 0;
}

static int step_on(VmmQmp *q, const QmpReply *reply) {
        switch (q->dimm->stage) {

        case DIMM_LOOKING:
                return on_looked(q, reply);

        case DIMM_MAKING:
                return on_made(q, reply);

        case DIMM_REPLACING:
                return on_replaced(q, reply);

        case DIMM_ADDING:
                return on_added(q, reply);

        case DIMM_UNDOING:
                q->backends_due |= !reply->value;
                reject(q, q->dimm->text);
                return 0;

        case DIMM_DELETING:
                return on_deleting(q, reply);

        case DIMM_FREEING:
                /* The memory is the guest's no more; a backend that stays is looked for again. */
                q->backends_due |= !reply->value;
                finish(q, VMM_ACCEPTED);
                return 0;

        case DIMM_LEAVING: /* nothing is asked */
                return 0;
        }
        return 0;
}

static void on_reply(Qmp *qmp, const QmpReply *reply, void *userdata) {
        VmmQmp *q = userdata;

        /* To a command of work that is over: a pull that was refused before device_del was answered. */
        if (!q->dimm || q->dimm->serial != reply->cookie)
                return;
        if (step_on(q, reply) < 0)
                vmm_qmp_drop(q, "it takes no more commands");
}

static int begin_pull(VmmQmp *q) {
        int r;

        r = sd_event_add_time_relative(q->event, &q->dimm->timer, CLOCK_MONOTONIC,
                                       q->options->pull_timeout_usec, USEC_PER_MSEC, on_timeout, q);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(q->dimm->timer, "qmp-dimm-pull");
        return delete (q, DIMM_DELETING, "device_del", "");
}

int vmm_qmp_dimm_command(VmmQmp *q, uint64_t id, const PlanStep *step) {
        DimmWork *open = q->dimm;
        int r;

        if (step->device >= MEMORY_MODEL_DIMMS_MAX)
                return -ENODEV;
        if (step->to_bytes > MEMORY_BYTES_MAX)
                return -ERANGE;
        if (open) {
                if (open->bytes > 0 || open->has_next || open->number != step->device || step->to_bytes == 0)
                        return -EBUSY;
                open->has_next = true;
                open->next_id = id;
                open->next_bytes = step->to_bytes;
                return 0;
        }

        q->dimm = malloc(sizeof(*q->dimm));
        if (!q->dimm)
                return -ENOMEM;
        *q->dimm = (DimmWork){
                .number = step->device,
                .bytes = step->to_bytes,
                .id = id,
                .serial = ++q->n_dimm_works,
        };
        r = step->to_bytes > 0 ? begin_plug(q) : begin_pull(q);
        if (r < 0)
                q->dimm = dimm_work_free(q->dimm);
        return r;
}

void vmm_qmp_dimm_drop(VmmQmp *q) {
        q->dimm = dimm_work_free(q->dimm);
}

uint64_t vmm_qmp_dimm_coming_bytes(const VmmQmp *q) {
        return q->dimm && q->dimm->stage == DIMM_ADDING ? q->dimm->bytes : 0;
}

/* -- events ---------------------------------------------------------------------------------------- */

/* ACPI's _OST: source 3 and 0x103 speak of an ejection (ACPI 6.3, 6.3.5), 0x84 of one under way. */
static bool is_refusal(const json_t *data) {
        const json_t *info = json_object_get(data, "info");
        json_int_t source = json_integer_value(json_object_get(info, "source"));
        json_int_t status = json_integer_value(json_object_get(info, "status"));

        return (source == 3 || source == 0x103) && (status == 1 || (status >= 0x80 && status <= 0x83));
}

/* Of which DIMM of ours an event speaks; MEMORY_MODEL_DIMMS_MAX: of none. */
static unsigned number_in(const json_t *data) {
        return dimm_name_number(json_string_value(json_object_get(data, "device")));
}

static bool is_leaving(const VmmQmp *q, unsigned number) {
        return q->dimm && q->dimm->number == number &&
               (q->dimm->stage == DIMM_DELETING || q->dimm->stage == DIMM_LEAVING);
}

/* Asked for too early after DEVICE_DELETED a backend may still be in use (kernel-qemu.md 4.2): it is looked for again. */
static void on_freed_late(Qmp *qmp, const QmpReply *reply, void *userdata) {
        VmmQmp *q = userdata;

        q->backends_due |= !reply->value;
}

static int on_deleted(VmmQmp *q, unsigned number) {
        char id[DIMM_NAME_MAX];
        int r;

        q->overtaken |= q->reading != NULL; /* half a reading with it, half without */
        if (is_leaving(q, number))
                return on_gone(q);
        /* Nobody waits any more: it took longer than we did, or a reset ended what was pending. */
        r = vmm_qmp_note_dimm(q, number, 0);
        if (r < 0)
                return r;
        name_of(number, id, BACKEND_SUFFIX);
        return qmp_execute(q->qmp, "object-del", json_pack("{s:s}", "id", id), number, on_freed_late);
}

void vmm_qmp_dimm_event(VmmQmp *q, const char *name, const json_t *data) {
        const json_t *info = json_object_get(data, "info");
        unsigned number = number_in(info ?: data);

        if (number == MEMORY_MODEL_DIMMS_MAX)
                return;
        if (strcmp(name, "DEVICE_DELETED") == 0) {
                if (on_deleted(q, number) < 0)
                        vmm_qmp_drop(q, "it takes no more commands");
        } else if (is_leaving(q, number) && strcmp(name, "ACPI_DEVICE_OST") == 0 && is_refusal(data))
                reject(q, "the guest keeps the DIMM");
        else if (is_leaving(q, number) &&
                 (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 || strcmp(name, "MEM_UNPLUG_ERROR") == 0))
                reject(q, "the guest failed to let go of the DIMM");
}

/* -- backends that nobody uses --------------------------------------------------------------------- */

static unsigned number_of_backend(const char *id) {
        char device[DIMM_NAME_MAX];
        size_t n = id ? strlen(id) : 0;

        if (n <= STRLEN(BACKEND_SUFFIX) || n >= sizeof(device) ||
            strcmp(id + n - STRLEN(BACKEND_SUFFIX), BACKEND_SUFFIX) != 0)
                return MEMORY_MODEL_DIMMS_MAX;
        memcpy(device, id, n - STRLEN(BACKEND_SUFFIX));
        device[n - STRLEN(BACKEND_SUFFIX)] = '\0';
        return dimm_name_number(device);
}

static void on_backends(Qmp *qmp, const QmpReply *reply, void *userdata) {
        VmmQmp *q = userdata;
        const MemoryModel model = vmm_qmp_model(q);
        const json_t *backend;
        size_t i;

        q->memory_is_shared = false;
        json_array_foreach(reply->value, i, backend) {
                const char *id = json_string_value(json_object_get(backend, "id"));
                unsigned number = number_of_backend(id);

                q->memory_is_shared |= json_is_true(json_object_get(backend, "share"));
                if (number == MEMORY_MODEL_DIMMS_MAX || model.dimm[number].size_bytes > 0 ||
                    (q->dimm && q->dimm->number == number))
                        continue;
                log_notice("VM %s: %s, which no DIMM uses, is freed", q->name, id);
                (void) qmp_execute(qmp, "object-del", json_pack("{s:s}", "id", id), number, on_freed_late);
        }
}

void vmm_qmp_dimm_look(VmmQmp *q) {
        if (!q->backends_due || q->n_looks >= LOOKS_MAX)
                return;
        q->backends_due = false;
        q->n_looks++;
        (void) qmp_execute(q->qmp, "query-memdev", NULL, 0,
                           on_backends); /* a failure shows as a lost connection */
}
