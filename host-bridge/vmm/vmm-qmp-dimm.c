/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A DIMM over QMP: several commands, one outcome. Plugged as vmm-qmp-plug.c does it; pulled by device_del, which only asks:
 * the guest lets go (DEVICE_DELETED, then the backend is freed), says no (ACPI_DEVICE_OST, kernel-qemu.md 4.2) or says
 * nothing. Waiting for QEMU's own DEVICE_UNPLUG_GUEST_ERROR was rejected: QEMU does not send it for a guest that is busy.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host-bridge/vmm/vmm-qmp-dimm.h"

static void on_reply(Qmp *qmp, const QmpReply *reply, void *userdata);

static DimmWork *dimm_work_free(DimmWork *work) {
        if (work)
                (void) sd_event_source_disable_unref(work->timer);
        free(work);
        return NULL;
}

void vmm_qmp_dimm_name(unsigned number, char ret[static DIMM_NAME_MAX], const char *suffix) {
        (void) snprintf(ret, DIMM_NAME_MAX, DIMM_NAME_PREFIX "%u%s", number, suffix);
}

int vmm_qmp_dimm_execute(VmmQmp *q, DimmStage stage, const char *command, json_t *arguments) {
        q->dimm->stage = stage;
        return qmp_execute(q->qmp, command, arguments, q->dimm->serial, on_reply);
}

int vmm_qmp_dimm_delete(VmmQmp *q, DimmStage stage, const char *command, const char *suffix) {
        char id[DIMM_NAME_MAX];

        vmm_qmp_dimm_name(q->dimm->number, id, suffix);
        return vmm_qmp_dimm_execute(q, stage, command, json_pack("{s:s}", "id", id));
}

void vmm_qmp_dimm_finish(VmmQmp *q, VmmEventKind kind) {
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

void vmm_qmp_dimm_reject(VmmQmp *q, const char *text) {
        if (q->dimm->text[0] == '\0')
                vmm_copy_words(text, q->dimm->text);
        vmm_qmp_dimm_finish(q, VMM_REJECTED);
}

/* The guest has let go, or it was never there. */
static int on_gone(VmmQmp *q) {
        int r = vmm_qmp_note_dimm(q, q->dimm->number, 0);

        return r < 0 ? r : vmm_qmp_dimm_delete(q, DIMM_FREEING, "object-del", DIMM_BACKEND_SUFFIX);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        VmmQmp *q = userdata;

        /* It may still let go: the backend is freed then, whoever waits for it. */
        vmm_qmp_dimm_reject(q, "the guest neither lets go of the DIMM nor refuses to");
        return 0;
}

static int on_deleting(VmmQmp *q, const QmpReply *reply) {
        if (reply->value) {
                q->dimm->stage = DIMM_LEAVING;
                return 0;
        }
        if (strcmp(reply->error_class, "DeviceNotFound") == 0)
                return on_gone(q);
        vmm_qmp_dimm_reject(q, reply->error_text);
        return 0;
}

static int step_on(VmmQmp *q, const QmpReply *reply) {
        switch (q->dimm->stage) {

        case DIMM_LOOKING:
        case DIMM_MAKING:
        case DIMM_REPLACING:
        case DIMM_ADDING:
        case DIMM_UNDOING:
                return vmm_qmp_plug_step(q, reply);

        case DIMM_DELETING:
                return on_deleting(q, reply);

        case DIMM_FREEING:
                /* The memory is the guest's no more; a backend that stays is looked for again. */
                q->backends_due |= !reply->value;
                vmm_qmp_dimm_finish(q, VMM_ACCEPTED);
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
        return vmm_qmp_dimm_delete(q, DIMM_DELETING, "device_del", "");
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
        r = step->to_bytes > 0 ? vmm_qmp_plug_begin(q) : begin_pull(q);
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
        vmm_qmp_dimm_name(number, id, DIMM_BACKEND_SUFFIX);
        return qmp_execute(q->qmp, "object-del", json_pack("{s:s}", "id", id), number,
                           vmm_qmp_backend_freed_late);
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
                vmm_qmp_dimm_reject(q, "the guest keeps the DIMM");
        else if (is_leaving(q, number) &&
                 (strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") == 0 || strcmp(name, "MEM_UNPLUG_ERROR") == 0))
                vmm_qmp_dimm_reject(q, "the guest failed to let go of the DIMM");
}
