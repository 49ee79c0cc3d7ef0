/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The parts of a DIMM's way over QMP: vmm-qmp-dimm.c (its work from command to outcome, pulling), vmm-qmp-plug.c (plugging)
 * and vmm-qmp-backend.c (backends that nobody uses). Nobody else includes this.
 */

#include "host-bridge/vmm/dimm-name.h"
#include "host-bridge/vmm/vmm-qmp-internal.h"
#include "host-bridge/vmm/vmm-words.h"

#define DIMM_BACKEND_SUFFIX "-mem"

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

/* memtide-dimmN and what follows. */
void vmm_qmp_dimm_name(unsigned number, char ret[static DIMM_NAME_MAX], const char *suffix);

/* The next command of the work, whose reply is then of that stage. Each int here is 0 or -errno: no more commands go. */
int vmm_qmp_dimm_execute(VmmQmp *q, DimmStage stage, const char *command, json_t *arguments);

/* device_del and object-del, for what is called NAME or NAME-mem. */
int vmm_qmp_dimm_delete(VmmQmp *q, DimmStage stage, const char *command, const char *suffix);

/* The work is over, and the owner told. The object may be gone afterwards. */
void vmm_qmp_dimm_finish(VmmQmp *q, VmmEventKind kind);
void vmm_qmp_dimm_reject(VmmQmp *q, const char *text);

/* Begins to plug q->dimm; takes a reply of one of its stages. */
int vmm_qmp_plug_begin(VmmQmp *q);
int vmm_qmp_plug_step(VmmQmp *q, const QmpReply *reply);

/* The reply to an object-del that nobody waits for. */
void vmm_qmp_backend_freed_late(Qmp *qmp, const QmpReply *reply, void *userdata);
