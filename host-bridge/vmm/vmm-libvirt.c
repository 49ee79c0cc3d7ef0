/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One domain, one call at a time: libvirt serialises what changes a domain anyhow, and a domain that hangs then holds
 * one worker and no more. While its call is overdue the breaker is open: VMM_LOST has been told, the size is held,
 * and nothing is asked until that call has returned; it may still have had its effect, so that the reading which
 * follows is the truth.
 *
 * A job of libvirt (migration, snapshot) is a pause: a command would wait for it, up to libvirt's 30 s.
 */

#include "host-bridge/vmm/vmm-libvirt.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/vmm/vmm-libvirt-internal.h"
#include "host-bridge/vmm/vmm-words.h"

const VmmLibvirtOptions vmm_libvirt_defaults = {
        .retry_min_usec = 100 * USEC_PER_MSEC,
        .retry_max_usec = 5 * USEC_PER_SEC,
        .pull_timeout_usec = 4 * USEC_PER_SEC,
        .poll_usec = 100 * USEC_PER_MSEC,
        .refresh_usec = VMM_REFRESH_USEC,
};

static void proceed(VmmLibvirt *v);

static void arm(VmmLibvirt *v, uint64_t usec) {
        (void) sd_event_source_set_time_relative(v->timer, usec);
        (void) sd_event_source_set_enabled(v->timer, SD_EVENT_ONESHOT);
}

/* What was queued is void: whoever asked hears VMM_LOST. The object may be gone afterwards. */
static void lose(VmmLibvirt *v, const char *why) {
        char words[VMM_WORDS_MAX];

        for (unsigned i = 0; i < v->n_commands; i++)
                libvirt_call_free(v->commands[i]);
        v->n_commands = 0;
        v->ready = v->read_due = false;
        vmm_watch_renew(&v->watch);
        vmm_libvirt_dimm_drop(v);
        arm(v, v->retry_usec);
        v->retry_usec = u64_min(v->retry_usec * 2, v->options.retry_max_usec);
        vmm_copy_words(why, words);
        (void) vmm_tell_lost(&v->vmm, words);
}

/* -- readings -------------------------------------------------------------------------------------- */

static bool tell_run_state(VmmLibvirt *v, const LibvirtDomain *domain) {
        return vmm_tell_run_state(&v->vmm, domain->running && !domain->busy);
}

static void plan_next_reading(VmmLibvirt *v) {
        bool soon = vmm_watch_is_on(&v->watch, v->event, &v->model, v->pull != NULL);

        arm(v, soon ? v->options.poll_usec : vmm_watch_pause_usec(&v->watch, v->options.refresh_usec));
}

static void take_domain(VmmLibvirt *v, LibvirtDomain *domain) {
        bool first = !v->ready;

        domain->model.known = true;
        if (!memory_model_is_sane(&domain->model)) {
                lose(v, "its figures make no sense");
                return;
        }
        if (domain->n_unusable > 0 && !v->unusable_told) {
                log_warning("VM %s: %u virtio-mem devices can not be resized: they have no alias, or are "
                            "beyond %u",
                            v->name, domain->n_unusable, MEMORY_MODEL_DEVICES_MAX);
                v->unusable_told = true;
        }
        /* libvirt counts a DIMM a little longer than QEMU: what is missing would be taken for the balloon's. */
        if (vmm_libvirt_dimm_is_leaving(v, &domain->model)) {
                plan_next_reading(v);
                (void) tell_run_state(v, domain);
                return;
        }
        if (memcmp(&v->model, &domain->model, sizeof(v->model)) != 0)
                vmm_watch_begin(&v->watch, v->event);
        memcpy(&v->model, &domain->model, sizeof(v->model));
        v->ready = true;
        v->retry_usec = v->options.retry_min_usec; /* only a reading closes the breaker */
        plan_next_reading(v);

        if (first && !vmm_tell_connected(&v->vmm))
                return;
        if (!tell_run_state(v, domain) || !vmm_libvirt_dimm_settle(v, &v->model))
                return;
        (void) vmm_tell(&v->vmm, &(VmmEvent){.kind = VMM_MODEL, .model = &v->model});
}

static void take_reading(VmmLibvirt *v, LibvirtCall *call) {
        if (call->r < 0) {
                lose(v, call->error);
                return;
        }
        /* It says nothing of a command that was asked for meanwhile, and would be taken for its outcome. */
        if (v->overtaken)
                v->read_due = true;
        else
                take_domain(v, &call->domain);
}

static void take_reply(VmmLibvirt *v, LibvirtCall *call) {
        VmmEvent event = {.kind = call->r < 0 ? VMM_REJECTED : VMM_ACCEPTED, .id = call->id};
        char words[VMM_WORDS_MAX];

        v->read_due = true;
        if (call->verb == LIBVIRT_PLUG_DIMM || call->verb == LIBVIRT_PULL_DIMM) {
                vmm_libvirt_dimm_reply(v, call);
                return;
        }
        if (call->r < 0) {
                vmm_copy_words(call->error, words);
                event.text = words;
        }
        (void) vmm_tell(&v->vmm, &event);
}

static void on_done(PoolJob *job, PoolOutcome outcome, void *owner) {
        LibvirtCall *call = CONTAINER_OF(job, LibvirtCall, job);
        VmmLibvirt *v = owner;
        bool freed = false, *outer = v->vmm.freed;

        v->vmm.freed = &freed;
        libvirt_note(v->libvirt, call, outcome); /* tells its listeners, of which this is one */
        if (!freed && outcome == POOL_OVERDUE)
                lose(v, "libvirt does not answer");
        else if (!freed) {
                v->call = NULL;
                if (outcome == POOL_REFUSED)
                        lose(v, "all workers hang in libvirt");
                else if (outcome == POOL_DONE && call->verb == LIBVIRT_READ)
                        take_reading(v, call);
                else if (outcome == POOL_DONE)
                        take_reply(v, call);
        }
        if (!freed) {
                v->vmm.freed = outer;
                proceed(v);
        } else if (outer)
                *outer = true;
}

/* -- calls ----------------------------------------------------------------------------------------- */

static int submit_reading(VmmLibvirt *v) {
        v->call = libvirt_call(v->libvirt, LIBVIRT_READ, v->listener.uuid, on_done);
        if (!v->call)
                return -ENOMEM;
        v->read_due = v->overtaken = false;
        libvirt_submit(v->libvirt, v->call, v);
        return 0;
}

/* The next call, if none is under way: commands before the reading that tells their outcome. */
static void proceed(VmmLibvirt *v) {
        if (v->call)
                return;
        if (v->n_commands > 0) {
                v->call = v->commands[0];
                v->n_commands--;
                memmove(v->commands, v->commands + 1, v->n_commands * sizeof(v->commands[0]));
                libvirt_submit(v->libvirt, v->call, v);
        } else if (v->read_due && submit_reading(v) < 0)
                arm(v, v->options.refresh_usec); /* no memory: later */
}

void vmm_libvirt_read(VmmLibvirt *v) {
        v->read_due = true;
        proceed(v);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        VmmLibvirt *v = userdata;

        if (!libvirt_is_connected(v->libvirt))
                lose(v, "there is no connection to libvirt");
        else
                vmm_libvirt_read(v);
        return 0;
}

static void on_libvirt(LibvirtListener *listener, const LibvirtEvent *event) {
        static const VmmEventKind told[LIBVIRT_EVENT_KIND_MAX] = {
                [LIBVIRT_RESET] = VMM_RESET,
                [LIBVIRT_SHUTDOWN] = VMM_SHUTDOWN,
        };
        VmmLibvirt *v = CONTAINER_OF(listener, VmmLibvirt, listener);
        bool here = true;

        if (event->kind == LIBVIRT_CLOSED) {
                lose(v, "there is no connection to libvirt");
                return;
        }
        vmm_watch_begin(&v->watch, v->event);
        if (event->kind == LIBVIRT_PAUSED && v->ready)
                here = vmm_tell_run_state(&v->vmm, false);
        else if (event->kind == LIBVIRT_DIMM_KEPT)
                here = vmm_libvirt_dimm_kept(v, event->dimm);
        else if (told[event->kind] != 0 && v->ready)
                here = vmm_tell(&v->vmm, &(VmmEvent){.kind = told[event->kind]});
        if (here)
                vmm_libvirt_read(v);
}

int vmm_libvirt_order(VmmLibvirt *v, LibvirtVerb verb, uint64_t id, LibvirtCall **ret) {
        LibvirtCall *call;

        if (v->n_commands == VMM_LIBVIRT_COMMANDS_MAX)
                return -EBUSY;
        call = libvirt_call(v->libvirt, verb, v->listener.uuid, on_done);
        if (!call)
                return -ENOMEM;
        call->id = id;
        *ret = call;
        return 0;
}

void vmm_libvirt_queue(VmmLibvirt *v, LibvirtCall *call) {
        v->overtaken = true;
        v->commands[v->n_commands++] = call;
        vmm_watch_begin(&v->watch, v->event);
        proceed(v);
}

static int command_balloon(VmmLibvirt *v, uint64_t id, const PlanStep *step) {
        uint64_t value;
        LibvirtCall *call;
        int r;

        if (!v->model.has_balloon)
                return -ENODEV;
        value = memory_model_balloon_value(&v->model, step->to_bytes);
        if (value == 0)
                return -ERANGE;
        r = vmm_libvirt_order(v, LIBVIRT_SET_BALLOON, id, &call);
        if (r < 0)
                return r;
        /* Too much is refused or cut; too little, by the size of a DIMM, panics a guest (kernel-qemu.md 3.3). */
        call->bytes = u64_add(value, vmm_libvirt_dimm_coming_bytes(v));
        vmm_watch_note_balloon(&v->watch, step->to_bytes);
        vmm_libvirt_queue(v, call);
        return 0;
}

static int command_virtio_mem(VmmLibvirt *v, uint64_t id, const PlanStep *step) {
        const VirtioMem *device;
        LibvirtCall *call;
        int r;

        if (step->device >= v->model.n_virtio_mem)
                return -ENODEV;
        device = &v->model.virtio_mem[step->device];
        if (step->to_bytes > device->max_bytes || step->to_bytes % device->block_bytes != 0)
                return -ERANGE;
        r = vmm_libvirt_order(v, LIBVIRT_SET_VIRTIO_MEM, id, &call);
        if (r < 0)
                return r;
        memcpy(call->device, device->id, sizeof(call->device));
        call->bytes = step->to_bytes;
        vmm_libvirt_queue(v, call);
        return 0;
}

static int vmm_libvirt_command(Vmm *vmm, uint64_t id, const PlanStep *step) {
        VmmLibvirt *v = CONTAINER_OF(vmm, VmmLibvirt, vmm);

        assert(step);

        if (!v->ready || !libvirt_is_connected(v->libvirt))
                return -ENOTCONN;
        switch (step->actuator) {

        case ACTUATOR_BALLOON:
                return command_balloon(v, id, step);

        case ACTUATOR_VIRTIO_MEM:
                return command_virtio_mem(v, id, step);

        case ACTUATOR_DIMM:
                return vmm_libvirt_dimm_command(v, id, step);

        case ACTUATOR_NONE:
        case ACTUATOR_MAX:
                break;
        }
        return -EOPNOTSUPP;
}

static int vmm_libvirt_refresh(Vmm *vmm) {
        VmmLibvirt *v = CONTAINER_OF(vmm, VmmLibvirt, vmm);

        if (!v->ready)
                return -ENOTCONN;
        vmm_libvirt_read(v);
        return 0;
}

/* -- life ------------------------------------------------------------------------------------------ */

static Vmm *vmm_libvirt_free(Vmm *vmm) {
        VmmLibvirt *v = CONTAINER_OF(vmm, VmmLibvirt, vmm);

        vmm_note_freed(vmm);
        libvirt_unlisten(v->libvirt, &v->listener);
        if (v->call)
                pool_job_forget(&v->call->job);
        for (unsigned i = 0; i < v->n_commands; i++)
                libvirt_call_free(v->commands[i]);
        vmm_libvirt_dimm_drop(v);
        (void) sd_event_source_disable_unref(v->timer);
        (void) sd_event_unref(v->event);
        free(v->name);
        free(v);
        return NULL;
}

static const VmmOps vmm_libvirt_ops = {
        .name = "libvirt",
        .refresh = vmm_libvirt_refresh,
        .command = vmm_libvirt_command,
        .free = vmm_libvirt_free,
};

int vmm_libvirt_new(sd_event *event, Libvirt *libvirt, const char *name, const char *uuid,
                    const VmmLibvirtOptions *options, VmmOwner owner, Vmm **ret) {
        _cleanup_(vmm_freep) Vmm *vmm = NULL;
        VmmLibvirt *v;
        int r;

        assert(event);
        assert(libvirt);
        assert(name);
        assert(uuid);
        assert(options);
        assert(owner.handler);
        assert(ret);

        v = malloc(sizeof(*v));
        if (!v)
                return -ENOMEM;
        *v = (VmmLibvirt){
                .vmm = {.ops = &vmm_libvirt_ops, .handler = owner.handler, .userdata = owner.userdata},
                .listener = {.handler = on_libvirt},
                .options = *options,
                .event = sd_event_ref(event),
                .libvirt = libvirt,
                .name = strdup(name),
                .retry_usec = options->retry_min_usec,
                .watch = vmm_watch_new(),
        };
        (void) snprintf(v->listener.uuid, sizeof(v->listener.uuid), "%s", uuid);
        libvirt_listen(libvirt, &v->listener);
        vmm = &v->vmm;
        if (!v->name)
                return -ENOMEM;

        r = sd_event_add_time_relative(event, &v->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, v);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(v->timer, "libvirt-poll");

        *ret = TAKE_PTR(vmm);
        return 0;
}
