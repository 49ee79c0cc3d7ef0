/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Backends of ours that no DIMM uses: what a crash between two commands left, and what was still in use when it was to be
 * freed, costs the host memory. They are looked for after each connect, and behind a reading where one is due. Rejected: to
 * remember them in a file; QEMU knows, and a file may be of another boot.
 */

#include <string.h>

#include "common/log.h"
#include "host-bridge/vmm/vmm-qmp-dimm.h"

#define LOOKS_MAX 20U /* per connection: what can not be freed by then is somebody's */

/* Asked for too early after DEVICE_DELETED a backend may still be in use (kernel-qemu.md 4.2): it is looked for again. */
void vmm_qmp_backend_freed_late(Qmp *qmp, const QmpReply *reply, void *userdata) {
        VmmQmp *q = userdata;

        q->backends_due |= !reply->value;
}

static unsigned number_of_backend(const char *id) {
        char device[DIMM_NAME_MAX];
        size_t n = id ? strlen(id) : 0;

        if (n <= STRLEN(DIMM_BACKEND_SUFFIX) || n >= sizeof(device) ||
            strcmp(id + n - STRLEN(DIMM_BACKEND_SUFFIX), DIMM_BACKEND_SUFFIX) != 0)
                return MEMORY_MODEL_DIMMS_MAX;
        memcpy(device, id, n - STRLEN(DIMM_BACKEND_SUFFIX));
        device[n - STRLEN(DIMM_BACKEND_SUFFIX)] = '\0';
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
                (void) qmp_execute(qmp, "object-del", json_pack("{s:s}", "id", id), number,
                                   vmm_qmp_backend_freed_late);
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
