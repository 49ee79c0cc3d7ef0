/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A DIMM through libvirt, which makes and frees the backend: plugged by one call, pulled by one that only asks, for a
 * guest that has been prepared. That it is gone a reading says: events are hints (DEVICE_REMOVED may be lost), and
 * libvirt's own definition is what the next plug is held against. That the guest kept it only an event says, and else
 * the timeout. Rejected: virDomainDetachDeviceFlags(), which waits for the guest up to 5 s in a worker, and then says
 * nothing more than a call that does not wait.
 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "common/units.h"
#include "host-bridge/vmm/vmm-libvirt-internal.h"
#include "host-bridge/vmm/vmm-words.h"

struct DimmPull {
        unsigned number;
        uint64_t id;             /* of the owner's command */
        const LibvirtCall *call; /* that asks; NULL: the guest has been asked */
        sd_event_source *timer;
        /* a plug that waits for it */
        bool has_next;
        uint64_t next_id, next_bytes;
};

static DimmPull *dimm_pull_free(DimmPull *pull) {
        if (pull)
                (void) sd_event_source_disable_unref(pull->timer);
        free(pull);
        return NULL;
}

void vmm_libvirt_dimm_drop(VmmLibvirt *v) {
        v->pull = dimm_pull_free(v->pull);
}

static int plug(VmmLibvirt *v, uint64_t id, unsigned number, uint64_t bytes) {
        LibvirtCall *call;
        int r;

        r = vmm_libvirt_order(v, LIBVIRT_PLUG_DIMM, id, &call);
        if (r < 0)
                return r;
        call->dimm = number;
        call->bytes = bytes;
        vmm_libvirt_queue(v, call);
        return 0;
}

/* text: why the guest has it still; NULL: it is gone. Returns false if the object is no more. */
static bool finish(VmmLibvirt *v, const char *text) {
        DimmPull *pull = TAKE_PTR(v->pull);
        bool here;
        int r = 0;

        /* Before the owner hears of it: no command of his comes between a pull and the plug that waited for it. */
        if (pull->has_next)
                r = plug(v, pull->next_id, pull->number, pull->next_bytes);
        here = vmm_tell(&v->vmm, &(VmmEvent){.kind = text ? VMM_REJECTED : VMM_ACCEPTED,
                                             .id = pull->id,
                                             .text = text});
        if (here && r < 0)
                here = vmm_tell(&v->vmm, &(VmmEvent){.kind = VMM_REJECTED, .id = pull->next_id});
        (void) dimm_pull_free(pull);
        return here;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        VmmLibvirt *v = userdata;

        if (finish(v, "the guest neither lets go of the DIMM nor refuses to"))
                vmm_libvirt_read(v);
        return 0;
}

static int begin_pull(VmmLibvirt *v, uint64_t id, unsigned number) {
        LibvirtCall *call;
        int r;

        r = vmm_libvirt_order(v, LIBVIRT_PULL_DIMM, id, &call);
        if (r < 0)
                return r;
        call->dimm = number;
        v->pull = malloc(sizeof(*v->pull));
        if (!v->pull) {
                libvirt_call_free(call);
                return -ENOMEM;
        }
        *v->pull = (DimmPull){.number = number, .id = id, .call = call};
        r = sd_event_add_time_relative(v->event, &v->pull->timer, CLOCK_MONOTONIC,
                                       v->options.pull_timeout_usec, USEC_PER_MSEC, on_timeout, v);
        if (r < 0) {
                libvirt_call_free(call);
                v->pull = dimm_pull_free(v->pull);
                return r;
        }
        (void) sd_event_source_set_description(v->pull->timer, "libvirt-dimm-pull");
        vmm_libvirt_queue(v, call);
        return 0;
}

int vmm_libvirt_dimm_command(VmmLibvirt *v, uint64_t id, const PlanStep *step) {
        DimmPull *open = v->pull;

        if (step->device >= MEMORY_MODEL_DIMMS_MAX)
                return -ENODEV;
        if (step->to_bytes > MEMORY_BYTES_MAX)
                return -ERANGE;
        if (!open)
                return step->to_bytes > 0 ? plug(v, id, step->device, step->to_bytes)
                                          : begin_pull(v, id, step->device);
        if (open->has_next || open->number != step->device || step->to_bytes == 0)
                return -EBUSY;
        open->has_next = true;
        open->next_id = id;
        open->next_bytes = step->to_bytes;
        return 0;
}

static void on_plugged(VmmLibvirt *v, const LibvirtCall *call, const char *text) {
        if (!text) /* until a reading says so: a balloon's value must count it */
                memory_model_set_dimm(&v->model, call->dimm, call->bytes);
        (void) vmm_tell(&v->vmm, &(VmmEvent){.kind = text ? VMM_REJECTED : VMM_ACCEPTED,
                                             .id = call->id,
                                             .text = text});
}

void vmm_libvirt_dimm_reply(VmmLibvirt *v, const LibvirtCall *call) {
        char words[VMM_WORDS_MAX];

        vmm_copy_words(call->error, words);
        if (call->verb == LIBVIRT_PLUG_DIMM) {
                on_plugged(v, call, call->r < 0 ? words : NULL);
                return;
        }
        if (!v->pull || v->pull->call != call)
                return; /* it is over: refused, or too late, before libvirt had answered */
        v->pull->call = NULL;
        /* Without such a device it is gone: the reading that follows says so. */
        if (call->r < 0 && call->r != -ENODEV)
                (void) finish(v, words);
}

bool vmm_libvirt_dimm_kept(VmmLibvirt *v, unsigned number) {
        return !v->pull || v->pull->number != number || finish(v, "the guest keeps the DIMM");
}

bool vmm_libvirt_dimm_is_leaving(const VmmLibvirt *v, const MemoryModel *fresh) {
        return v->pull && !v->pull->call && fresh->dimm[v->pull->number].size_bytes > 0;
}

bool vmm_libvirt_dimm_settle(VmmLibvirt *v, const MemoryModel *fresh) {
        if (!v->pull || v->pull->call || fresh->dimm[v->pull->number].size_bytes > 0)
                return true;
        return finish(v, NULL);
}

static uint64_t bytes_of(const LibvirtCall *call) {
        return call && call->verb == LIBVIRT_PLUG_DIMM ? call->bytes : 0;
}

uint64_t vmm_libvirt_dimm_coming_bytes(const VmmLibvirt *v) {
        uint64_t bytes = bytes_of(v->call);

        for (unsigned i = 0; i < v->n_commands; i++)
                bytes = u64_add(bytes, bytes_of(v->commands[i]));
        return bytes;
}
