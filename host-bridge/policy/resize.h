/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The life of one resize, from decision to the guest's confirmation. Pure: events in, the next action
 * out; deadlines are checked on RESIZE_EVENT_TICK, and resize_deadline_usec() says when that is due.
 *
 *  grow:    COMMAND (notice first) -> accepted -> the guest confirms -> next step or FINISH
 *  shrink:  ASK -> offer -> COMMAND -> the guest confirms -> ASK of the next step or FINISH
 *  a DIMM:  ASK -> offer of all of it -> PREPARE -> prepared -> COMMAND -> the guest confirms; resize-dimm.c
 *           veto, silence (300 ms in flight), urgency: COMMAND that restores the original -> FINISH
 * A step is closed by the guest's confirmation or by its deadline, never by the hypervisor's word alone; nor by
 * the guest's where a MODEL contradicts it, so a reading is due with each CONFIRM.
 * The shell passes on every reply to every command of the resize, in order, and OFFER and CONFIRM only of its id.
 * decision.inputs.min_bytes and max_bytes (0: none) bound every command once more.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/vocabulary.h"
#include "host-bridge/policy/decision.h"
#include "host-bridge/policy/memory-model.h"
#include "host-bridge/policy/planner.h"

typedef struct ResizeConfig {
        uint64_t
                confirm_timeout_usec; /* no progress for this long, or next to none, ends a step; default 5 s */
        uint64_t offer_timeout_usec; /* the guest's answer to a request; default 3 s */
        uint64_t silence_usec; /* silence of the guest in a shrink step in flight; default 300 ms (S8) */
        uint64_t kick_usec;    /* least time between same-value kicks; default 1 s (S14) */
        uint64_t
                offline_timeout_usec; /* the guest's to take a DIMM offline; default 5 s, its agent's own limit */
} ResizeConfig;

typedef enum ResizePhase {
        RESIZE_IDLE,
        RESIZE_ASKING,     /* shrink request sent */
        RESIZE_PREPARING,  /* the guest takes a DIMM offline */
        RESIZE_COMMANDED,  /* hypervisor asked, no reply yet */
        RESIZE_CONFIRMING, /* hypervisor accepted; the guest's word is awaited */
        RESIZE_RESTORING,  /* the command that undoes is under way */
        RESIZE_PHASE_MAX,
} ResizePhase;

typedef enum ResizeEventKind {
        RESIZE_EVENT_OFFER,      /* bytes = offered (0: refused, reason) */
        RESIZE_EVENT_PREPARED,   /* the guest has taken the DIMM offline */
        RESIZE_EVENT_UNPREPARED, /* it has not, and is as it was (reason, if it refused) */
        RESIZE_EVENT_ACCEPTED,   /* the hypervisor took the command */
        RESIZE_EVENT_REJECTED,   /* it did not */
        RESIZE_EVENT_MODEL,      /* model = what the hypervisor says now */
        RESIZE_EVENT_CONFIRM,    /* delta_bytes = usable now less usable at the step's notice or request */
        RESIZE_EVENT_HEARD,      /* any frame of the guest: it lives */
        RESIZE_EVENT_VETO,       /* the guest stops the shrink, or its urgency rose to high */
        RESIZE_EVENT_LOST,       /* session or monitor is gone */
        RESIZE_EVENT_TICK,
        RESIZE_EVENT_KIND_MAX,
} ResizeEventKind;

typedef struct ResizeEvent {
        ResizeEventKind kind;
        uint64_t now_usec;
        unsigned step; /* OFFER, CONFIRM: the step that it speaks of, 0 in a CONFIRM of growth; others 0 */
        uint64_t bytes;
        int64_t delta_bytes;
        RefusalReason reason;
        const MemoryModel *model;
        uint64_t available_bytes; /* guest's, for the size of the next shrink step; on every event */
        uint64_t plug_budget_bytes;
        unsigned blocks_offline; /* guest's, by its latest word; on every event */
        uint64_t stall_usec;     /* CONFIRM */
        bool tried;              /* UNPREPARED: not refused, but it could not */
        bool unsent;             /* REJECTED: the last command never left, so this is no reply to any other */
        bool block_failed;       /* HEARD: the guest could not put a block online */
} ResizeEvent;

typedef enum ResizeActionKind {
        RESIZE_WAIT,
        RESIZE_ASK,     /* send ShrinkRequest of step_number, bytes, remaining_bytes, last */
        RESIZE_PREPARE, /* send OfflineRange of offline */
        RESIZE_COMMAND, /* send GrowNotice if notice, then the step to the hypervisor */
        RESIZE_FINISH,  /* the resize is over; result and confirmed_bytes stand in decision */
} ResizeActionKind;

typedef struct ResizeAction {
        ResizeActionKind kind;
        PlanStep step;
        unsigned step_number;
        bool notice;
        bool last;
        uint64_t bytes, remaining_bytes;
        Dimm offline;
        Dimm online; /* with any kind: send OnlineRange of it first; size 0: none */
} ResizeAction;

typedef struct Resize {
        ResizeConfig config;
        ResizePhase phase;
        Decision decision; /* filled as it goes; the caller copies it to the record */
        bool growing;
        uint64_t guest_block_bytes;
        MemoryModel model;    /* the latest */
        MemoryModel original; /* when the resize began: what a veto restores */
        PlanStep step;        /* the open one */
        unsigned step_number;
        uint64_t step_confirmed_bytes; /* magnitude */
        int64_t closed_bytes;          /* confirmed by earlier steps, signed */
        uint64_t progress_usec, heard_usec, asked_usec, kicked_usec;
        uint64_t moved_usec; /* either side last showed that the open step's memory moves, however little */
        unsigned blocks_offline;       /* by the guest's latest word */
        unsigned blocks_aside;         /* of them, those that are not the open step's to wait for */
        DecisionResult pending_result; /* what FINISH will say once restored */
        PlanStep adopted;         /* the step that is given up: it counts with what comes until the end */
        uint64_t step_late_bytes; /* confirmed beyond the open step: what earlier ones were short of */
        uint64_t owed_bytes;      /* by closed steps: the hypervisor gave it, and no guest has confirmed it */
        uint64_t before_bytes;    /* closed when the last command's step began; magnitude */
        unsigned confirming_step; /* its number */
        uint64_t begun_usec;
        uint64_t progress_bytes;                  /* confirmed when the deadline was last moved */
        uint64_t pace_from_usec, pace_from_bytes; /* since when, and from where, its pace is measured */
        uint64_t pace_usec; /* longest that the open step took from one confirmation to the next */
        uint64_t step_stall_usec;
        PlanStep closed_step; /* the last that was confirmed; ACTUATOR_NONE: none yet */
        unsigned touched; /* what a veto has to give back: a bit per device and DIMM, one for the balloon */
        uint64_t slack_bytes;  /* what all steps so far may be short of and still count as whole */
        Dimm prepared;         /* that the guest was asked to take offline, and still has; size 0: none */
        unsigned n_unanswered; /* commands without a reply; replies come in the order of the commands */
        unsigned n_reasks;     /* of a guest that had not settled */
        uint64_t reask_usec;   /* when; 0: an answer is awaited */
        unsigned n_retries;    /* of the open restore */
        bool restore_rejected; /* the open restore waits for its retry */
} Resize;

/*
 * Begins a resize. decision: id, kind, rule, inputs and wanted_bytes are set by the caller; the rest is
 * the resize's. guest_block_bytes: of Hello, 0 if unknown. Returns the first action (RESIZE_FINISH if nothing can be
 * done).
 */
ResizeAction resize_begin(Resize *resize, const ResizeConfig *config, const Decision *decision,
                          uint64_t guest_block_bytes, const ResizeEvent *first);

/* Feeds one event. Returns the action that is due now. */
ResizeAction resize_feed(Resize *resize, const ResizeEvent *event);

/* When a TICK is due, host monotonic; USEC_INFINITY when idle. */
uint64_t resize_deadline_usec(const Resize *resize);

/*
 * What the host budget has to keep for the VM while the resize is open, 0 when idle: a grow may still bring
 * all of it, and a shrink gives nothing to others before it is over, because a veto takes everything back.
 * Afterwards the model's own committed bytes hold, and what a balloon was told to let go but still has: no model
 * tells a balloon's target.
 */
uint64_t resize_reserved_bytes(const Resize *resize);

/* Of a closed resize: what the guest may have confirmed in the end, and what of it makes the decision whole; magnitudes. */
uint64_t resize_reach_bytes(const Resize *resize);
uint64_t resize_whole_bytes(const Resize *resize);

/* Of an open one: what of a confirmation it has no use for. */
uint64_t resize_spare_bytes(const Resize *resize, int64_t delta_bytes);

static inline bool resize_is_open(const Resize *resize) {
        return resize->phase != RESIZE_IDLE;
}
