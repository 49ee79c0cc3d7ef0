/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The parts of one object: vmm-qmp.c (connection, commands), vmm-qmp-dimm.c, -plug.c and -backend.c (DIMMs), vmm-qmp-read.c
 * (readings of the model) and vmm-qmp-facts.c (what else is asked now and then).
 */

#include <jansson.h>
#include <systemd/sd-event.h>

#include "common/deadline.h"
#include "common/sparse.h"
#include "host-bridge/vmm/qmp.h"
#include "host-bridge/vmm/vmm-qmp.h"
#include "host-bridge/vmm/vmm-watch.h"

typedef struct DimmWork DimmWork;
typedef struct Reading Reading;

typedef struct VmmQmp {
        Vmm vmm; /* first: ops */
        const VmmQmpOptions *options;
        sd_event *event;
        Deadline timer;   /* without qmp: the next attempt; with it: the next reading */
        const char *name; /* borrowed */
        char *path;
        Qmp *qmp;
        bool ready;          /* the handshake is over */
        uint64_t retry_usec; /* the next wait */

        Reading *reading; /* the one that is under way; NULL: none */
        bool again;       /* asked for while one was under way */
        bool overtaken;   /* a command was sent after it had begun */

        /* asked once per connection */
        bool machine_known;
        unsigned slots;
        uint64_t room_bytes;
        uint64_t boot_bytes; /* 0: not yet */

        VmmFacts facts;
        uint64_t facts_due_usec; /* 0: with the next reading */

        /* the last reading */
        Sparse *model; /* a MemoryModel; NULL: there was none */
        bool unusable_told;
        VmmWatch watch;

        /* DIMMs */
        DimmWork *dimm; /* the one that is being plugged or pulled; NULL: none */
        uint64_t n_dimm_works;
        bool backends_due;     /* backends of DIMMs may be there that no DIMM uses */
        unsigned n_looks;      /* for them, since we are connected */
        bool memory_is_shared; /* with other processes: so must be what is added */
} VmmQmp;

/* Drops the connection and plans the next; tells VMM_LOST once. The object may be gone afterwards. */
void vmm_qmp_drop(VmmQmp *q, const char *why);

/* Arms the timer, usec from now. */
void vmm_qmp_arm(VmmQmp *q, uint64_t usec);

/* As VmmOps.command, for ACTUATOR_DIMM; -EBUSY while another DIMM is under way. */
int vmm_qmp_dimm_command(VmmQmp *q, uint64_t id, const PlanStep *step);

/* An event that may speak of a DIMM. The object may be gone afterwards: *q->vmm.freed is set then. */
void vmm_qmp_dimm_event(VmmQmp *q, const char *name, const json_t *data);

/* The connection is lost: nobody will say how it ended. */
void vmm_qmp_dimm_drop(VmmQmp *q);

/* After a reading: looks for backends that nobody uses, if it is time to. */
void vmm_qmp_dimm_look(VmmQmp *q);

/* What may have been plugged already, and no reading says so yet: a balloon's value must count it. */
uint64_t vmm_qmp_dimm_coming_bytes(const VmmQmp *q);

/* The last reading, with what is known of DIMMs since; all zero before the first. */
static inline MemoryModel vmm_qmp_model(const VmmQmp *q) {
        MemoryModel model;

        sparse_get(q->model, &model, sizeof(model));
        return model;
}

/* A DIMM of ours is there (bytes > 0) or gone, and no reading says so yet. Returns 0 or -ENOMEM. */
int vmm_qmp_note_dimm(VmmQmp *q, unsigned number, uint64_t bytes);

/* Forgets the reading under way: nobody will answer it. */
void vmm_qmp_drop_reading(VmmQmp *q);

/* Starts a reading, or another one after that which is under way. Returns 0 or -errno. */
int vmm_qmp_read(VmmQmp *q);

/* Asks for what else is to be known, if it is time. */
void vmm_qmp_ask_facts(VmmQmp *q);
