/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reclaim runs beside the loop, so the workload is watched while memory is freed for the host, and the
 * work is cut short when it objects. The offer is made of samples taken after it, of what MemFree
 * really gained: what memory.reclaim says it did is off by a factor of up to two (shrink.md, over-reclaim).
 */

#include "agent/shrinker.h"

#include <assert.h>
#include <inttypes.h>

#include "agent/messages.h"
#include "agent/reclaim.h"
#include "common/log.h"
#include "common/units.h"

/* The answer has to be back before the deadline: five samples in flight. */
#define SHRINKER_ANSWER_USEC (100 * USEC_PER_MSEC)
/* No honest host waits longer for one step. */
#define SHRINKER_DEADLINE_MOST_USEC (600 * USEC_PER_SEC)
/* Refused because the reclaim for another step still runs. */
#define SHRINKER_BUSY_HOLD_USEC USEC_PER_SEC

struct Shrinker {
        ShrinkConfig config;
        const ShrinkerHandlers *handlers;
        void *userdata;
        Reclaim *reclaim; /* NULL: the kernel has none */
        ShrinkState state;
        bool reclaiming;
        bool abandoned; /* nobody waits for the reclaim that runs */
        bool cut;       /* it has been told to end */
        uint64_t free_before_bytes;
        LogLimit log_limit; /* of refusals: a host may ask as often as it likes */
};

static void shrinker_log_offer(const ShrinkAsk *ask, const ShrinkPlan *plan, uint64_t reclaimed_bytes) {
        const LogField id = {"SHRINK_ID", .number = (int64_t) ask->id}, step = {"STEP", .number = ask->step};

        if (plan->verdict == SHRINK_OFFERED)
                log_event(LOG_DEBUG, MESSAGE_ID_SHRINK_OFFERED,
                          LOG_FIELDS(id, step, {"OFFERED_BYTES", .number = (int64_t) plan->offered_bytes},
                                     {"RECLAIMED_BYTES", .number = (int64_t) reclaimed_bytes}),
                          "Shrink %" PRIu64 " step %u: offered %" PRIu64 " bytes, %" PRIu64 " reclaimed",
                          ask->id, ask->step, plan->offered_bytes, reclaimed_bytes);
        else
                log_event(LOG_INFO, MESSAGE_ID_SHRINK_REFUSED,
                          LOG_FIELDS(id, step, {"WANTED_BYTES", .number = (int64_t) ask->bytes},
                                     {"REASON", refusal_reason_to_string(plan->reason)},
                                     {"ACCEPTABLE_BYTES", .number = (int64_t) plan->acceptable_bytes},
                                     {"HOLD_USEC", .number = (int64_t) plan->hold_usec}),
                          "Shrink %" PRIu64 " step %u of %" PRIu64 " bytes refused: %s", ask->id, ask->step,
                          ask->bytes, refusal_reason_to_string(plan->reason));
}

static void shrinker_say_offer(Shrinker *shrinker, const ShrinkAsk *ask, const ShrinkPlan *plan,
                               const Snapshot *now, uint64_t reclaimed_bytes) {
        bool is_offered = plan->verdict == SHRINK_OFFERED;
        Message message = {
                .type = MESSAGE_SHRINK_OFFER,
                .monotonic_usec = now->now_usec,
                .shrink_offer =
                        {
                                .id = ask->id,
                                .step = ask->step,
                                .offered_bytes = is_offered ? plan->offered_bytes : 0,
                                .reason = is_offered ? REFUSAL_NONE : plan->reason,
                                .acceptable_bytes = plan->acceptable_bytes,
                                .hold_usec = plan->hold_usec,
                                .reclaimed_bytes = reclaimed_bytes,
                        },
        };

        if (is_offered || log_limit_allows(&shrinker->log_limit, now->now_usec, NULL))
                shrinker_log_offer(ask, plan, reclaimed_bytes);
        shrinker->handlers->say(&message, shrinker->userdata);
}

static void shrinker_trace(Shrinker *shrinker, TraceWhat what, const ShrinkAsk *ask, const ShrinkPlan *plan) {
        shrinker->handlers->trace(what, ask, plan, shrinker->userdata);
}

/* An offer or a refusal, and what a probe has taught. */
static void shrinker_answer(Shrinker *shrinker, const ShrinkAsk *ask, const ShrinkPlan *plan,
                            const Snapshot *now) {
        if (plan->freed_bytes > 0)
                shrinker->handlers->probed(plan, shrinker->userdata);
        shrinker_say_offer(shrinker, ask, plan, now, plan->freed_bytes);
}

static void shrinker_refuse(Shrinker *shrinker, const ShrinkAsk *ask, RefusalReason reason,
                            const Snapshot *now) {
        ShrinkPlan plan = {
                .verdict = SHRINK_REFUSED,
                .reason = reason,
                .acceptable_bytes = snapshot_usable_bytes(now),
                .hold_usec = SHRINKER_BUSY_HOLD_USEC,
        };

        shrinker_trace(shrinker, TRACE_BUSY, ask, &plan);
        shrinker_say_offer(shrinker, ask, &plan, now, 0);
}

static void shrinker_begin_reclaim(Shrinker *shrinker, const ShrinkAsk *ask, uint64_t bytes,
                                   const Snapshot *now) {
        int r;

        shrinker->free_before_bytes = now->free_bytes;
        r = reclaim_start(shrinker->reclaim, bytes, u64_sub(ask->deadline_usec, SHRINKER_ANSWER_USEC));
        if (r < 0) { /* cannot be: shrinker_request() asked before */
                shrinker_trace(shrinker, TRACE_RESET, NULL, NULL);
                shrink_reset(&shrinker->state);
                shrinker_refuse(shrinker, ask, REFUSAL_UNSETTLED, now);
                return;
        }
        shrinker->reclaiming = true;
        shrinker->abandoned = shrinker->cut = false;
}

void shrinker_request(Shrinker *shrinker, const MessageShrinkRequest *request, const Snapshot *now,
                      const Demand *demand) {
        ShrinkAsk ask;
        ShrinkPlan plan;

        assert(shrinker);
        assert(request);

        ask = (ShrinkAsk){
                .id = request->id,
                .step = request->step,
                .bytes = request->bytes,
                .remaining_bytes = request->remaining_bytes,
                .deadline_usec =
                        u64_min(request->deadline_usec, u64_add(now->now_usec, SHRINKER_DEADLINE_MOST_USEC)),
                .balloon = request->balloon,
                .last = request->last,
        };

        if (shrinker->reclaiming && !shrinker->abandoned && ask.id == shrinker->state.ask.id &&
            ask.step == shrinker->state.ask.step) { /* asked again: the answer is under way */
                shrinker_trace(shrinker, TRACE_BUSY, &ask, &(ShrinkPlan){.verdict = SHRINK_WAITING});
                return;
        }
        if (shrinker->reclaiming) {
                shrinker_refuse(shrinker, &ask, REFUSAL_UNSETTLED, now);
                return;
        }

        plan = shrink_ask(&shrinker->config, &shrinker->state, &ask, now, demand,
                          shrinker_can_reclaim(shrinker));
        shrinker_trace(shrinker, TRACE_ASK, &ask, &plan);
        if (plan.verdict == SHRINK_RECLAIM)
                shrinker_begin_reclaim(shrinker, &ask, plan.reclaim_bytes, now);
        else if (plan.verdict != SHRINK_WAITING)
                shrinker_answer(shrinker, &ask, &plan, now);
}

void shrinker_reclaimed(Shrinker *shrinker, const Snapshot *now, const Demand *demand) {
        ShrinkAsk ask;
        ShrinkPlan plan;

        assert(shrinker);

        shrinker->reclaiming = false;
        if (shrinker->abandoned || !shrinker->state.open)
                return;

        ask = shrinker->state.ask;
        plan = shrink_freed(&shrinker->config, &shrinker->state, now, demand, shrinker->free_before_bytes);
        shrinker_trace(shrinker, TRACE_FREED, &ask, &plan);
        if (plan.verdict == SHRINK_REFUSED)
                shrinker_say_offer(shrinker, &ask, &plan, now,
                                   u64_sub(now->free_bytes, shrinker->free_before_bytes));
}

static void shrinker_abandon(Shrinker *shrinker) {
        if (!shrinker->reclaiming || shrinker->abandoned)
                return;
        shrinker->abandoned = true;
        reclaim_cancel(shrinker->reclaim);
}

/*
 * The workload may turn while the kernel works, and the kernel frees up to 1.9 times of what it is asked for: the reclaim
 * ends early, and what it has freed by then is judged as ever.
 */
static void shrinker_mind_reclaim(Shrinker *shrinker, const Snapshot *now, const Demand *demand) {
        if (!shrinker->reclaiming || shrinker->abandoned || !shrinker->state.open)
                return;
        if (demand->urgency == URGENCY_NONE &&
            !shrink_has_freed(&shrinker->state, now, shrinker->free_before_bytes))
                return;
        if (!shrinker->cut)
                shrinker_trace(shrinker, TRACE_CUT, &shrinker->state.ask, NULL);
        shrinker->cut = true;
        reclaim_cancel(shrinker->reclaim);
}

static void shrinker_confirm(Shrinker *shrinker, const ShrinkAsk *ask, const ShrinkPlan *plan,
                             const Snapshot *now) {
        Message message = {
                .type = MESSAGE_RESIZE_CONFIRM,
                .monotonic_usec = now->now_usec,
                .resize_confirm =
                        {
                                .id = ask->id,
                                .step = ask->step,
                                .delta_bytes = plan->delta_bytes,
                                .usable_bytes = snapshot_usable_bytes(now),
                                .latency_usec = plan->latency_usec,
                                .stall_usec = plan->stall_usec,
                        },
        };

        shrinker->handlers->say(&message, shrinker->userdata);
}

void shrinker_sample(Shrinker *shrinker, const Snapshot *now, const Demand *demand) {
        ShrinkAsk ask;
        ShrinkPlan plan;

        assert(shrinker);
        assert(now);
        assert(demand);

        ask = shrinker->state.open ? shrinker->state.ask : (ShrinkAsk){}; /* the verdict may close the step */
        plan = shrink_watch(&shrinker->config, &shrinker->state, now, demand);
        shrinker_trace(shrinker, TRACE_SAMPLE, &ask, &plan);
        shrinker_mind_reclaim(shrinker, now, demand);

        switch (plan.verdict) {
        case SHRINK_MOVED:
        case SHRINK_CONFIRMED:
                shrinker_confirm(shrinker, &ask, &plan, now);
                return;
        case SHRINK_VETO: /* of an offer: nothing is being reclaimed */
                shrinker->handlers->veto(ask.id, &plan, shrinker->userdata);
                return;
        case SHRINK_LAPSED:
                shrinker_abandon(shrinker);
                log_debug("Shrink %" PRIu64 " step %u lapsed", ask.id, ask.step);
                return;
        case SHRINK_OFFERED:
        case SHRINK_REFUSED:
                shrinker_answer(shrinker, &ask, &plan, now);
                return;
        case SHRINK_IDLE:
        case SHRINK_WAITING:
        case SHRINK_RECLAIM:
        case SHRINK_VERDICT_MAX:
                return;
        }
}

RefusalReason shrinker_check_range(Shrinker *shrinker, uint64_t id, uint64_t bytes, const Snapshot *now,
                                   const Demand *demand) {
        RefusalReason reason;

        assert(shrinker);
        assert(now);
        assert(demand);

        reason = shrink_check_range(&shrinker->config, &shrinker->state, id, bytes, now, demand);
        shrinker_trace(shrinker, TRACE_RANGE, &(ShrinkAsk){.id = id, .bytes = bytes},
                       &(ShrinkPlan){.reason = reason});
        return reason;
}

void shrinker_range_failed(Shrinker *shrinker, uint64_t id) {
        assert(shrinker);
        shrinker_trace(shrinker, TRACE_RANGE_FAILED, &(ShrinkAsk){.id = id}, NULL);
        shrink_range_failed(&shrinker->state, id);
}

void shrinker_configure(Shrinker *shrinker, const ShrinkConfig *config) {
        assert(shrinker);
        assert(config);
        shrinker->config = *config;
        shrinker_trace(shrinker, TRACE_CONFIGURE, NULL, NULL);
}

bool shrinker_can_reclaim(const Shrinker *shrinker) {
        assert(shrinker);
        return shrinker->reclaim;
}

void shrinker_reset(Shrinker *shrinker) {
        assert(shrinker);

        shrinker_trace(shrinker, TRACE_RESET, NULL, NULL);
        shrinker_abandon(shrinker);
        shrink_reset(&shrinker->state);
}

bool shrinker_decides(const Shrinker *shrinker, uint64_t now_usec) {
        assert(shrinker);
        return shrink_probe_is_over(&shrinker->state, now_usec);
}

bool shrinker_in_flight(const Shrinker *shrinker) {
        assert(shrinker);
        return shrinker->state.open;
}

static void shrinker_on_reclaimed(void *userdata) {
        Shrinker *shrinker = userdata;

        shrinker->handlers->reclaimed(shrinker->userdata);
}

int shrinker_new(sd_event *event, const RootDir *root, const ShrinkerHandlers *handlers, void *userdata,
                 Shrinker **ret, int *ret_reclaim_error) {
        _cleanup_(shrinker_freep) Shrinker *shrinker = NULL;

        assert(handlers);
        assert(ret);
        assert(ret_reclaim_error);

        shrinker = calloc(1, sizeof(*shrinker));
        if (!shrinker)
                return -ENOMEM;
        shrinker->handlers = handlers;
        shrinker->userdata = userdata;

        *ret_reclaim_error = reclaim_new(event, root, shrinker_on_reclaimed, shrinker, &shrinker->reclaim);
        *ret = TAKE_PTR(shrinker);
        return 0;
}

Shrinker *shrinker_free(Shrinker *shrinker) {
        if (!shrinker)
                return NULL;

        reclaim_free(shrinker->reclaim);
        free(shrinker);
        return NULL;
}
