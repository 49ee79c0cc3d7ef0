/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A snapshot is several files read one after the other, and any of them may be missing or strange: what
 * contradicts itself (free above total) or exceeds the wire's range is cut here, since a frame that the
 * encoder refuses would be silence, and silence is the one thing that the host can not act on.
 */

#include "agent/report.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/units.h"

#define REPORT_INTERVAL_LEAST_USEC (10 * USEC_PER_MSEC)
#define REPORT_INTERVAL_MOST_USEC  (60 * USEC_PER_SEC)

static uint64_t bytes(uint64_t x) {
        return u64_min(x, MEMORY_BYTES_MAX);
}

/* The wire has no guest of no size; one without meminfo says so in Hello. */
static uint64_t total_bytes(const Snapshot *s) {
        return u64_max(bytes(s->total_bytes), 1);
}

static uint64_t usec(uint64_t x) {
        return u64_min(x, USEC_PER_SEC * 86400 * 365 * 100);
}

static int64_t signed_bytes(int64_t x) {
        int64_t most = (int64_t) MEMORY_BYTES_MAX;

        return x > most ? most : x < -most ? -most : x;
}

static void fill_memory(MessageReport *report, const Snapshot *s) {
        uint64_t total = total_bytes(s), swap_total = bytes(s->swap_total_bytes);

        report->memory_total_bytes = total;
        report->memory_available_bytes = u64_min(s->available_bytes, total);
        report->memory_free_bytes = u64_min(s->free_bytes, total);
        report->file_cache_bytes = bytes(u64_add(s->active_file_bytes, s->inactive_file_bytes));
        report->swap_total_bytes = swap_total;
        report->swap_free_bytes = u64_min(s->swap_free_bytes, swap_total);
        report->balloon_bytes = bytes(s->balloon_bytes);
        report->usable_bytes = bytes(snapshot_usable_bytes(s));
        report->used_bytes = bytes(snapshot_used_bytes(s));
        report->psi_some_usec = usec(s->psi_some_usec);
        report->psi_full_usec = usec(u64_min(s->psi_full_usec, s->psi_some_usec));
        report->oom_kills = s->oom_kill;
}

static void fill_demand(MessageReport *report, const Demand *d) {
        report->reserve_bytes = bytes(d->reserve_bytes);
        report->demand_bytes = bytes(d->demand_bytes);
        report->need_bytes = signed_bytes(d->need_bytes);
        report->floor_bytes = bytes(d->floor_bytes);
        report->time_to_exhaustion_usec = usec(d->time_to_exhaustion_usec);
        report->fall_bytes_per_sec = bytes(d->fall_bytes_per_sec);
        report->urgency = d->urgency;
        report->cause = d->cause;
        report->kernel_zone = d->kernel_zone;
}

Message report_make(const ReportInput *input) {
        Message message;

        assert(input);

        message = (Message){
                .type = MESSAGE_REPORT,
                .monotonic_usec = input->snapshot->now_usec,
                .report =
                        {
                                .blocks_online = input->blocks_online,
                                .blocks_offline = input->blocks_offline,
                                .plug_budget_bytes = bytes(input->plug_budget_bytes),
                                .interval_usec = u64_clamp(input->interval_usec, REPORT_INTERVAL_LEAST_USEC,
                                                           REPORT_INTERVAL_MOST_USEC),
                                .frames_dropped = input->frames_dropped,
                                .frames_void = input->frames_void,
                        },
        };
        fill_memory(&message.report, input->snapshot);
        fill_demand(&message.report, input->demand);
        return message;
}

Message report_alarm(const ReportInput *input, uint64_t veto_id) {
        const Snapshot *s;
        const Demand *d;

        assert(input);
        s = input->snapshot;
        d = input->demand;

        return (Message){
                .type = MESSAGE_ALARM,
                .monotonic_usec = s->now_usec,
                .alarm =
                        {
                                /* A veto is urgent even where the guest is not short yet: that is its point. */
                                .urgency = veto_id != 0
                                                   ? (d->urgency > URGENCY_HIGH ? d->urgency : URGENCY_HIGH)
                                                   : d->urgency,
                                .cause = veto_id != 0 ? CAUSE_VETO : d->cause,
                                .need_bytes = signed_bytes(d->need_bytes),
                                .usable_bytes = bytes(snapshot_usable_bytes(s)),
                                .memory_available_bytes = bytes(s->available_bytes),
                                .time_to_exhaustion_usec = usec(d->time_to_exhaustion_usec),
                                .fall_bytes_per_sec = bytes(d->fall_bytes_per_sec),
                                .kernel_zone = d->kernel_zone,
                                .veto_id = veto_id,
                                .plug_budget_bytes = bytes(input->plug_budget_bytes),
                        },
        };
}

void report_hello(const Identity *identity, const Snapshot *snapshot, uint64_t capabilities,
                  uint64_t block_size_bytes, MessageHello *ret) {
        assert(identity);
        assert(snapshot);
        assert(ret);

        (void) snprintf(ret->agent_version, sizeof(ret->agent_version), "%s", MEMTIDE_VERSION);
        memcpy(ret->kernel_release, identity->kernel_release, sizeof(ret->kernel_release));
        memcpy(ret->boot_id, identity->boot_id, sizeof(ret->boot_id));
        ret->page_size_bytes = identity->page_size_bytes;
        ret->block_size_bytes = block_size_bytes;
        ret->memory_total_bytes = total_bytes(snapshot);
        ret->capabilities = capabilities;
        ret->plug_budget_bytes = bytes(demand_plug_budget_bytes(snapshot));
        ret->n_missing = identity->n_missing;
        memcpy(ret->missing, identity->missing, sizeof(ret->missing));
}
