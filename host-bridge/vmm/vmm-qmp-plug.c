/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How a DIMM is plugged: object-add, device_add, and the backend taken away again where the device was refused. A backend
 * that a crash left in the way is replaced. Errors' texts are not parsed, as a monitor's words are for people: a command that
 * failed for the other reason makes the next one fail too.
 */

#include <errno.h>
#include <string.h>

#include "host-bridge/vmm/qmp-memory.h"
#include "host-bridge/vmm/vmm-qmp-dimm.h"

/* The other devices of a VM may see its memory through file descriptors (vhost-user): then this must be shared too. */
static int make_backend(VmmQmp *q) {
        char id[DIMM_NAME_MAX];
        json_t *arguments;

        vmm_qmp_dimm_name(q->dimm->number, id, DIMM_BACKEND_SUFFIX);
        arguments = q->memory_is_shared
                            ? json_pack("{s:s, s:s, s:I, s:b}", "qom-type", "memory-backend-memfd", "id", id,
                                        "size", (json_int_t) q->dimm->bytes, "share", 1)
                            : json_pack("{s:s, s:s, s:I}", "qom-type", "memory-backend-ram", "id", id, "size",
                                        (json_int_t) q->dimm->bytes);
        return vmm_qmp_dimm_execute(q, DIMM_MAKING, "object-add", arguments);
}

static int add_device(VmmQmp *q) {
        char id[DIMM_NAME_MAX], backend[DIMM_NAME_MAX];

        vmm_qmp_dimm_name(q->dimm->number, id, "");
        vmm_qmp_dimm_name(q->dimm->number, backend, DIMM_BACKEND_SUFFIX);
        /* A reading that began before may have no DIMM, and its size in the balloon. */
        q->overtaken = q->reading != NULL;
        return vmm_qmp_dimm_execute(q, DIMM_ADDING, "device_add",
                                    json_pack("{s:s, s:s, s:s}", "driver", "pc-dimm", "id", id, "memdev",
                                              backend));
}

int vmm_qmp_plug_begin(VmmQmp *q) {
        return vmm_qmp_model(q).dimm[q->dimm->number].size_bytes > 0
                       ? vmm_qmp_dimm_execute(q, DIMM_LOOKING, "query-memory-devices", NULL)
                       : make_backend(q);
}

static int on_added(VmmQmp *q, const QmpReply *reply) {
        int r;

        if (reply->value) {
                r = vmm_qmp_note_dimm(q, q->dimm->number, q->dimm->bytes);
                if (r >= 0)
                        vmm_qmp_dimm_finish(q, VMM_ACCEPTED);
                return r;
        }
        vmm_copy_words(reply->error_text, q->dimm->text);
        return vmm_qmp_dimm_delete(q, DIMM_UNDOING, "object-del", DIMM_BACKEND_SUFFIX);
}

static int on_looked(VmmQmp *q, const QmpReply *reply) {
        MemoryModel model = {};
        unsigned n_unusable;
        uint64_t there;

        if (!reply->value || qmp_memory_read_devices(reply->value, &model, &n_unusable) < 0) {
                vmm_qmp_dimm_reject(q, "it does not say which DIMMs there are");
                return 0;
        }
        there = model.dimm[q->dimm->number].size_bytes;
        if (there == 0)
                return make_backend(q);
        if (there == q->dimm->bytes)
                vmm_qmp_dimm_finish(q, VMM_ACCEPTED);
        else
                vmm_qmp_dimm_reject(q, "there is a DIMM of that name and of another size");
        return 0;
}

static int on_made(VmmQmp *q, const QmpReply *reply) {
        if (reply->value)
                return add_device(q);
        if (q->dimm->replaced) {
                vmm_qmp_dimm_reject(q, reply->error_text);
                return 0;
        }
        /* Left by a bridge that ended between two commands, or there is no memory: then this fails too. */
        q->dimm->replaced = true;
        vmm_copy_words(reply->error_text, q->dimm->text);
        return vmm_qmp_dimm_delete(q, DIMM_REPLACING, "object-del", DIMM_BACKEND_SUFFIX);
}

static int on_replaced(VmmQmp *q, const QmpReply *reply) {
        if (!reply->value) {
                vmm_qmp_dimm_reject(q, q->dimm->text);
                return 0;
        }
        q->dimm->text[0] = '\0';
        return make_backend(q);
}

int vmm_qmp_plug_step(VmmQmp *q, const QmpReply *reply) {
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
                vmm_qmp_dimm_reject(q, q->dimm->text);
                return 0;

        case DIMM_DELETING:
        case DIMM_LEAVING:
        case DIMM_FREEING:
                break;
        }
        return 0;
}
