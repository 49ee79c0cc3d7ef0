/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A hypervisor's hand on one VM, behind one table: the QMP client, libvirt and the recorder of a dry
 * run. All calls return at once; results arrive through the handler, always from the event loop
 * and never from inside the call.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/macro.h"
#include "host-bridge/policy/lacks.h"
#include "host-bridge/policy/memory-model.h"
#include "host-bridge/policy/planner.h"

typedef struct Vmm Vmm;

typedef enum VmmOrigin {
        VMM_ORIGIN_NONE, /* nobody can resize it */
        VMM_ORIGIN_QMP,
        VMM_ORIGIN_LIBVIRT,
        VMM_ORIGIN_MAX,
} VmmOrigin;

#define VMM_ADDRESS_MAX 108U /* sun_path, with its NUL */

/* Where the hand on a VM is to be had. */
typedef struct VmmAddress {
        VmmOrigin origin;
        char text[VMM_ADDRESS_MAX]; /* of a QMP socket the path, of a libvirt domain the UUID */
} VmmAddress;

typedef enum VmmEventKind {
        VMM_CONNECTED, /* the monitor speaks; a model follows */
        VMM_LOST,      /* the monitor is gone, hangs, or its breaker is open; it is retried */
        VMM_MODEL,     /* model: a fresh reading, begun after the last command was sent */
        VMM_FACTS,     /* facts: what else is known of it; also never */
        VMM_ACCEPTED,  /* the command with this id was accepted */
        VMM_REJECTED,  /* it was refused; text says why (the hypervisor's words, bounded) */
        VMM_RESET,     /* the guest was reset */
        VMM_PAUSED,    /* paused or migrating: no resize */
        VMM_RUNNING,
        VMM_SHUTDOWN,
        VMM_EVENT_KIND_MAX,
} VmmEventKind;

typedef struct VmmEvent {
        VmmEventKind kind;
        uint64_t id;              /* VMM_ACCEPTED, VMM_REJECTED */
        const MemoryModel *model; /* VMM_MODEL, borrowed */
        const VmmFacts *facts;    /* VMM_FACTS, borrowed */
        const char *text;         /* borrowed, may be NULL */
} VmmEvent;

/* The owner may free the Vmm inside. */
typedef void (*VmmHandler)(Vmm *vmm, const VmmEvent *event, void *userdata);

/* Who is told. */
typedef struct VmmOwner {
        VmmHandler handler;
        void *userdata;
} VmmOwner;

typedef struct VmmOps {
        const char *name;
        /* Asks for a fresh model; VMM_MODEL follows. Several asks in one go give one reading. 0 or -errno. */
        int (*refresh)(Vmm *vmm);
        /*
         * Carries out step; VMM_ACCEPTED or VMM_REJECTED with id follows, then VMM_MODEL as sizes change. 0 or
         * -errno (-ENOTCONN). A DIMM takes several commands and has one outcome. to_bytes > 0 plugs number
         * step->device; accepted: it is plugged, now or before. 0 pulls it, which the guest is to have been prepared
         * for; accepted: it is gone and its backend free; rejected: the guest kept it, or did not let go in time and may
         * still. A plug of a DIMM that is being pulled waits for that. Only a pull's outcome may come after that
         * of a later command.
         */
        int (*command)(Vmm *vmm, uint64_t id, const PlanStep *step);
        /* The hypervisor's process, or -errno. NULL: not known this way. */
        int (*peer_pid)(const Vmm *vmm);
        Vmm *(*free)(Vmm *vmm);
} VmmOps;

/* What every implementation begins with. */
struct Vmm {
        const VmmOps *ops;
        VmmHandler handler;
        void *userdata;
        bool *freed;              /* set when freed inside a handler */
        bool lost_told;           /* VMM_LOST was the last word */
        bool state_told, running; /* what was said of it */
};

/* For implementations. Each calls the owner, if it is news, and returns false if the object is no more. */
bool vmm_tell(Vmm *vmm, const VmmEvent *event);
bool vmm_tell_run_state(Vmm *vmm, bool running);
bool vmm_tell_lost(Vmm *vmm, const char *why);
bool vmm_tell_connected(Vmm *vmm);

/* To be called when the object is freed. */
static inline void vmm_note_freed(Vmm *vmm) {
        if (vmm->freed)
                *vmm->freed = true;
}

static inline int vmm_refresh(Vmm *vmm) {
        return vmm->ops->refresh(vmm);
}

static inline int vmm_command(Vmm *vmm, uint64_t id, const PlanStep *step) {
        return vmm->ops->command(vmm, id, step);
}

/* -EOPNOTSUPP where that is not known. */
static inline int vmm_peer_pid(const Vmm *vmm) {
        return vmm->ops->peer_pid ? vmm->ops->peer_pid(vmm) : -EOPNOTSUPP;
}

static inline Vmm *vmm_free(Vmm *vmm) {
        return vmm ? vmm->ops->free(vmm) : NULL;
}
DEFINE_CLEANUP_FUNC(Vmm, vmm_free)
