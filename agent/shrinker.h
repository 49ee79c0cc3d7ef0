/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The shrink conversation as the guest leads it: policy/shrink.h decides, reclaim.h frees, and what
 * is to be said goes out as messages. The owner samples, and passes what it saw.
 */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent/policy/demand.h"
#include "agent/policy/shrink.h"
#include "agent/policy/snapshot.h"
#include "agent/trace.h"
#include "common/macro.h"
#include "common/rootdir.h"
#include "proto/message.h"

typedef struct Shrinker Shrinker;

typedef struct ShrinkerHandlers {
        /*
         * What was asked, or seen, and what policy/shrink.h made of it, before anything follows from it: for a recording.
         * ask and plan are NULL where there is none.
         */
        void (*trace)(TraceWhat what, const ShrinkAsk *ask, const ShrinkPlan *plan, void *userdata);
        /* message is a ShrinkOffer, or a ResizeConfirm whose block counts are the owner's to fill. */
        void (*say)(Message *message, void *userdata);
        /* Stop and restore: an alarm with this id is due at once. */
        void (*veto)(uint64_t id, const ShrinkPlan *plan, void *userdata);
        /* What was reclaimed for a step has been watched: plan has freed_bytes, and back_bytes of it that were needed. */
        void (*probed)(const ShrinkPlan *plan, void *userdata);
        /* A reclaim has ended: take a sample and call shrinker_reclaimed(). */
        void (*reclaimed)(void *userdata);
} ShrinkerHandlers;

/*
 * A guest without memory.reclaim can still give what is free: ret_reclaim_error then says why (negative
 * errno; 0: it has it). handlers are borrowed. Returns 0 or -errno.
 */
int shrinker_new(sd_event *event, const RootDir *root, const ShrinkerHandlers *handlers, void *userdata,
                 Shrinker **ret, int *ret_reclaim_error);
Shrinker *shrinker_free(Shrinker *shrinker);
DEFINE_CLEANUP_FUNC(Shrinker, shrinker_free)

/* From the next step on; to be called once before the first look too. */
void shrinker_configure(Shrinker *shrinker, const ShrinkConfig *config);
bool shrinker_can_reclaim(const Shrinker *shrinker);

void shrinker_request(Shrinker *shrinker, const MessageShrinkRequest *request, const Snapshot *now,
                      const Demand *demand);
void shrinker_reclaimed(Shrinker *shrinker, const Snapshot *now, const Demand *demand);
void shrinker_sample(Shrinker *shrinker, const Snapshot *now, const Demand *demand);

/* Whether bytes may be taken offline by the command id: REFUSAL_NONE, or why not. */
RefusalReason shrinker_check_range(Shrinker *shrinker, uint64_t id, uint64_t bytes, const Snapshot *now,
                                   const Demand *demand);

/* The range of id did not go offline: its step is over, and not watched any longer. */
void shrinker_range_failed(Shrinker *shrinker, uint64_t id);

/* The session is lost: ends the conversation without a word. */
void shrinker_reset(Shrinker *shrinker);

/* The sample at now_usec is to know what containers do: it decides on what was reclaimed. */
bool shrinker_decides(const Shrinker *shrinker, uint64_t now_usec);

/* A step is open: sample every 20 ms, and do not fall silent. */
bool shrinker_in_flight(const Shrinker *shrinker);
