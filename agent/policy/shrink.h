/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The guest's half of the shrink conversation: what may be taken, what has to be reclaimed first,
 * and when to stop the host. Pure; rules S1-S9 and S14-S17 of shrink.md, constants of its section 2.
 *
 * Life of one step: shrink_ask() -> [the shell reclaims -> shrink_freed() -> shrink_watch() until it is known
 * whether that comes back] -> offered -> the host takes it, shrink_watch() on every sample -> confirmed, or
 * vetoed. One resize (one id) has many steps; U0 and the size to return to are those of its first step.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/policy/demand.h"
#include "agent/policy/snapshot.h"
#include "common/vocabulary.h"

typedef struct ShrinkAsk { /* a ShrinkRequest as the policy sees it */
        uint64_t id;
        unsigned step;
        uint64_t bytes, remaining_bytes;
        uint64_t deadline_usec; /* of the answer, guest monotonic */
        bool balloon, last;
} ShrinkAsk;

typedef enum ShrinkVerdict {
        SHRINK_IDLE,    /* no step is open */
        SHRINK_WAITING, /* a step is open, nothing to say */
        SHRINK_RECLAIM, /* the shell is to write plan.reclaim_bytes to memory.reclaim, then call shrink_freed() */
        SHRINK_OFFERED,   /* offered_bytes may be taken */
        SHRINK_REFUSED,   /* reason, acceptable_bytes and hold_usec are set */
        SHRINK_MOVED,     /* usable moved: a confirmation with delta_bytes is due */
        SHRINK_CONFIRMED, /* the whole step has been taken: a confirmation is due, the step is closed */
        SHRINK_VETO,      /* stop and restore: an alarm with veto_id is due; the resize is closed */
        SHRINK_LAPSED,    /* no answer in time, or none of an offer taken for long; the step is closed */
        SHRINK_VERDICT_MAX,
} ShrinkVerdict;

/* "idle", "offered", ...: for a recording. */
const char *shrink_verdict_to_string(ShrinkVerdict verdict);

/* What stopped a shrink; each comes with a figure, so that a false stop can be understood afterwards. */
typedef enum ShrinkEvidence {
        SHRINK_EVIDENCE_NONE,
        SHRINK_EVIDENCE_STALL,   /* usec of PSI some since the offer */
        SHRINK_EVIDENCE_RECLAIM, /* direct reclaims and pages they scanned since the offer */
        SHRINK_EVIDENCE_GROWTH,  /* bytes of U since the resize began */
        SHRINK_EVIDENCE_BURST,   /* bytes of U since the offer */
        SHRINK_EVIDENCE_MAX,
} ShrinkEvidence;

/* "stall", "reclaim", "growth", "burst": for the log; "none" otherwise. */
const char *shrink_evidence_to_string(ShrinkEvidence evidence);

typedef struct ShrinkPlan {
        ShrinkVerdict verdict;
        RefusalReason reason;
        uint64_t reclaim_bytes;    /* SHRINK_RECLAIM */
        uint64_t offered_bytes;    /* SHRINK_OFFERED */
        uint64_t acceptable_bytes; /* smallest usable size that would be accepted now */
        uint64_t hold_usec;        /* SHRINK_REFUSED: for how long */
        uint64_t freed_bytes;      /* by the reclaim that this answer is about; 0: none was needed */
        uint64_t back_bytes;       /* SHRINK_REFUSED: of that, what the workload took back */
        int64_t delta_bytes;       /* usable now less usable when this step was asked (negative when taken) */
        ShrinkEvidence evidence;   /* SHRINK_VETO */
        uint64_t evidence_amount;
        uint64_t latency_usec, stall_usec; /* since the step was offered */
} ShrinkPlan;

/* What was reclaimed for a step, and what would tell that it was needed (shrink-probe.c). */
typedef struct ShrinkProbe {
        bool open;           /* the offer waits for it */
        uint64_t until_usec; /* to then */
        uint64_t freed_bytes, freed_usec;
        uint64_t file_bytes, usable_bytes; /* when the reclaim was over */
        Snapshot base;                     /* counters when it began */
        unsigned n_bad;                    /* in a row */
} ShrinkProbe;

/* Embedded by the caller, zero-initialised; its fields are shrink.c's own, but for open and ask. */
typedef struct ShrinkState {
        bool open;           /* a step is open */
        bool offered;        /* and has been offered */
        ShrinkAsk ask;       /* the open step */
        uint64_t lapse_usec; /* it lapses: the deadline of the answer, then the patience of the watch */
        uint64_t resize_id;  /* the resize that the next two belong to, 0 = none */
        uint64_t first_usable_bytes;                         /* when the resize began */
        uint64_t least_usable_bytes;                         /* since then */
        uint64_t usable_at_offer_bytes, used_at_offer_bytes; /* of the open step: least usable, and U by it */
        uint64_t u0_bytes;                                   /* U when the resize began */
        bool held_known;
        uint64_t least_held_bytes; /* since then, if known */
        uint64_t loose_usec;       /* since when U has grown too much by what nobody holds; 0: it has not */
        Snapshot at_ask, at_offer;
        uint64_t reclaim_bytes; /* asked of memory.reclaim */
        ShrinkProbe probe;
        uint64_t offered_bytes;
        uint64_t reported_usable_bytes;
        uint64_t held_until_usec;
        uint64_t settled_usec; /* when usable last moved */
        uint64_t last_usable_bytes;
} ShrinkState;

typedef struct ShrinkConfig {
        uint64_t margin_bytes; /* least margin after the last step; default 128 MiB, see S5 */
        uint64_t hold_usec;    /* how long a refusal holds; default 120 s */
} ShrinkConfig;

/*
 * A request has come. Returns SHRINK_RECLAIM, SHRINK_OFFERED, SHRINK_REFUSED, or SHRINK_WAITING for one that is being
 * worked at. can_reclaim: memory.reclaim exists.
 */
ShrinkPlan shrink_ask(const ShrinkConfig *config, ShrinkState *state, const ShrinkAsk *ask,
                      const Snapshot *now, const Demand *demand, bool can_reclaim);

/*
 * The reclaim is over; now is a fresh snapshot, free_before what MemFree was before it. Returns SHRINK_REFUSED, or
 * SHRINK_WAITING: what was freed is watched, and shrink_watch() gives the answer.
 */
ShrinkPlan shrink_freed(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                        const Demand *demand, uint64_t free_before_bytes);

/* On every sample. Returns any verdict but SHRINK_RECLAIM; SHRINK_OFFERED and SHRINK_REFUSED after shrink_freed() only. */
ShrinkPlan shrink_watch(const ShrinkConfig *config, ShrinkState *state, const Snapshot *now,
                        const Demand *demand);

/* More has been freed than was asked for: the reclaim can stop (it frees up to 1.9 times of what is asked). */
bool shrink_has_freed(const ShrinkState *state, const Snapshot *now, uint64_t free_before_bytes);

/* Whether the sample at now_usec decides on a probe: it had better know what containers did. */
bool shrink_probe_is_over(const ShrinkState *state, uint64_t now_usec);

/*
 * Whether bytes may be taken offline at the host's word, at once and as a whole. id: of the command; where it is that of a
 * resize, its step must have been offered. Returns REFUSAL_NONE or why not.
 */
RefusalReason shrink_check_range(const ShrinkConfig *config, ShrinkState *state, uint64_t id, uint64_t bytes,
                                 const Snapshot *now, const Demand *demand);

/* The range of the resize id did not go offline: nothing of its open step will be taken. */
void shrink_range_failed(ShrinkState *state, uint64_t id);

/* Ends the conversation without a word: session lost. */
void shrink_reset(ShrinkState *state);
