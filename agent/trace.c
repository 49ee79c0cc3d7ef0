/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One table has all columns, for whoever writes a row and whoever reads one. All fields of Snapshot are in a sample's row,
 * whatever was read in it, so a row stands for itself. What a row has nothing of is empty, so all rows have the same
 * columns, and any program that knows such files can be let loose on it.
 *
 * Rejected: a dump of the structs, which only the same build could read and nobody look at; and a kind of line of its own
 * for each event, which is shorter and no table.
 */

#include "agent/trace.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/macro.h"
#include "common/vocabulary.h"

const char *trace_what_to_string(unsigned what) {
        static const char *const names[TRACE_WHAT_MAX] = {
                [TRACE_SAMPLE] = "sample",
                [TRACE_CONFIGURE] = "configure",
                [TRACE_ASK] = "ask",
                [TRACE_BUSY] = "busy",
                [TRACE_CUT] = "cut",
                [TRACE_FREED] = "freed",
                [TRACE_LEARN] = "learn",
                [TRACE_RANGE] = "range",
                [TRACE_RANGE_FAILED] = "range-failed",
                [TRACE_RANGE_BACK] = "range-back",
                [TRACE_RESET] = "reset",
                [TRACE_GROW_NOTICE] = "grow-notice",
        };

        return what < TRACE_WHAT_MAX ? names[what] : NULL;
}

static const char *urgency_word(unsigned value) {
        return value < URGENCY_MAX ? urgency_to_string((Urgency) value) : NULL;
}

static const char *cause_word(unsigned value) {
        return value < CAUSE_MAX ? cause_to_string((Cause) value) : NULL;
}

static const char *reason_word(unsigned value) {
        return value < REFUSAL_REASON_MAX ? refusal_reason_to_string((RefusalReason) value) : NULL;
}

static const char *verdict_word(unsigned value) {
        return value < SHRINK_VERDICT_MAX ? shrink_verdict_to_string((ShrinkVerdict) value) : NULL;
}

static const char *evidence_word(unsigned value) {
        return value < SHRINK_EVIDENCE_MAX ? shrink_evidence_to_string((ShrinkEvidence) value) : NULL;
}

#define BIT(what)  (1U << (what))
#define ALL        (BIT(TRACE_WHAT_MAX) - 1)
#define SAMPLE     BIT(TRACE_SAMPLE)
#define ASKED      (BIT(TRACE_ASK) | BIT(TRACE_BUSY))
#define STEP       (SAMPLE | ASKED | BIT(TRACE_CUT) | BIT(TRACE_FREED))
#define ANSWERED   (SAMPLE | BIT(TRACE_ASK) | BIT(TRACE_FREED))
#define OF_A_RANGE (BIT(TRACE_RANGE) | BIT(TRACE_RANGE_FAILED) | BIT(TRACE_RANGE_BACK))

#define COLUMN(name, as, rows)                                                                               \
        { #name, offsetof(TraceRow, name), as, false, rows, NULL }
#define SIGNAL(name, as)                                                                                     \
        { #name, offsetof(TraceRow, snapshot.name), as, false, SAMPLE, NULL }
#define DECISION(name, as, rows)                                                                             \
        { #name, offsetof(TraceRow, name), as, true, rows, NULL }
#define WORD(name, rows, word)                                                                               \
        { #name, offsetof(TraceRow, name), TRACE_WORD, true, rows, word }

const TraceColumn trace_columns[] = {
        COLUMN(n_dropped, TRACE_U64, ALL),
        {"what", offsetof(TraceRow, what), TRACE_WORD, false, ALL, trace_what_to_string},
        COLUMN(config.actuator_delay_usec, TRACE_U64, SAMPLE),
        COLUMN(config.floor_bytes, TRACE_U64, SAMPLE),
        SIGNAL(now_usec, TRACE_U64),
        SIGNAL(has, TRACE_UNSIGNED),
        SIGNAL(total_bytes, TRACE_U64),
        SIGNAL(available_bytes, TRACE_U64),
        SIGNAL(free_bytes, TRACE_U64),
        SIGNAL(active_file_bytes, TRACE_U64),
        SIGNAL(inactive_file_bytes, TRACE_U64),
        SIGNAL(swap_total_bytes, TRACE_U64),
        SIGNAL(swap_free_bytes, TRACE_U64),
        SIGNAL(swap_cached_bytes, TRACE_U64),
        SIGNAL(zram_used_bytes, TRACE_U64),
        SIGNAL(held_bytes, TRACE_U64),
        SIGNAL(offlining_bytes, TRACE_U64),
        SIGNAL(balloon_bytes, TRACE_U64),
        SIGNAL(balloon_in_total, TRACE_BOOL),
        SIGNAL(psi_some_usec, TRACE_U64),
        SIGNAL(psi_full_usec, TRACE_U64),
        SIGNAL(psi_triggered, TRACE_BOOL),
        SIGNAL(psi_io_some_usec, TRACE_U64),
        SIGNAL(pgscan_kswapd, TRACE_U64),
        SIGNAL(pgscan_direct, TRACE_U64),
        SIGNAL(allocstall, TRACE_U64),
        SIGNAL(pswpin, TRACE_U64),
        SIGNAL(pswpout, TRACE_U64),
        SIGNAL(workingset_refault, TRACE_U64),
        SIGNAL(workingset_activate, TRACE_U64),
        SIGNAL(oom_kill, TRACE_U64),
        SIGNAL(contained_refault, TRACE_U64),
        SIGNAL(contained_activate, TRACE_U64),
        SIGNAL(contained_pswpin, TRACE_U64),
        SIGNAL(contained_pswpout, TRACE_U64),
        SIGNAL(n_contained, TRACE_UNSIGNED),
        SIGNAL(n_limited, TRACE_UNSIGNED),
        SIGNAL(contained_lost, TRACE_BOOL),
        SIGNAL(lru_gen, TRACE_BOOL),
        SIGNAL(kernel_free_bytes, TRACE_U64),
        SIGNAL(kernel_high_bytes, TRACE_U64),
        SIGNAL(kernel_low_bytes, TRACE_U64),
        SIGNAL(kernel_file_bytes, TRACE_U64),
        SIGNAL(kernel_managed_bytes, TRACE_U64),
        SIGNAL(movable_managed_bytes, TRACE_U64),
        SIGNAL(slab_reclaimable_bytes, TRACE_U64),
        SIGNAL(page_size_bytes, TRACE_U64),
        WORD(demand.urgency, SAMPLE, urgency_word),
        WORD(demand.cause, SAMPLE, cause_word),
        DECISION(demand.kernel_zone, TRACE_BOOL, SAMPLE),
        DECISION(demand.fired, TRACE_UNSIGNED, SAMPLE),
        DECISION(demand.used_bytes, TRACE_U64, SAMPLE),
        DECISION(demand.swapped_bytes, TRACE_U64, SAMPLE),
        DECISION(demand.hot_bytes, TRACE_U64, SAMPLE),
        DECISION(demand.reserve_bytes, TRACE_U64, SAMPLE),
        DECISION(demand.demand_bytes, TRACE_U64, SAMPLE),
        DECISION(demand.need_bytes, TRACE_I64, SAMPLE),
        DECISION(demand.floor_bytes, TRACE_U64, SAMPLE),
        DECISION(demand.time_to_exhaustion_usec, TRACE_U64, SAMPLE),
        DECISION(demand.fall_bytes_per_sec, TRACE_U64, SAMPLE),
        DECISION(demand.rate_high_bytes_per_sec, TRACE_U64, SAMPLE),
        DECISION(demand.tier, TRACE_UNSIGNED, SAMPLE),
        DECISION(demand.walk_cgroups, TRACE_BOOL, SAMPLE),
        DECISION(demand.next_sample_usec, TRACE_U64, SAMPLE),
        DECISION(demand.zones_interval_usec, TRACE_U64, SAMPLE),
        DECISION(demand.contained_oom_kills, TRACE_U64, SAMPLE),
        DECISION(demand.rose, TRACE_BOOL, SAMPLE),
        COLUMN(shrink_config.margin_bytes, TRACE_U64, BIT(TRACE_CONFIGURE)),
        COLUMN(shrink_config.hold_usec, TRACE_U64, BIT(TRACE_CONFIGURE)),
        COLUMN(can_reclaim, TRACE_BOOL, BIT(TRACE_CONFIGURE)),
        COLUMN(ask.id, TRACE_U64, STEP | OF_A_RANGE | BIT(TRACE_GROW_NOTICE)),
        COLUMN(ask.step, TRACE_UNSIGNED, STEP),
        COLUMN(ask.bytes, TRACE_U64, ASKED | OF_A_RANGE | BIT(TRACE_GROW_NOTICE)),
        COLUMN(ask.remaining_bytes, TRACE_U64, ASKED),
        COLUMN(ask.deadline_usec, TRACE_U64, ASKED | BIT(TRACE_GROW_NOTICE)),
        COLUMN(ask.balloon, TRACE_BOOL, ASKED | BIT(TRACE_GROW_NOTICE)),
        COLUMN(ask.last, TRACE_BOOL, ASKED),
        WORD(plan.verdict, ANSWERED | ASKED, verdict_word),
        WORD(plan.reason, ANSWERED | ASKED | BIT(TRACE_RANGE) | BIT(TRACE_GROW_NOTICE), reason_word),
        DECISION(plan.reclaim_bytes, TRACE_U64, ANSWERED),
        DECISION(plan.offered_bytes, TRACE_U64, ANSWERED),
        DECISION(plan.acceptable_bytes, TRACE_U64, ANSWERED | ASKED),
        DECISION(plan.hold_usec, TRACE_U64, ANSWERED | ASKED),
        DECISION(plan.freed_bytes, TRACE_U64, ANSWERED | BIT(TRACE_LEARN)),
        DECISION(plan.back_bytes, TRACE_U64, ANSWERED | BIT(TRACE_LEARN)),
        DECISION(plan.delta_bytes, TRACE_I64, ANSWERED),
        WORD(plan.evidence, ANSWERED, evidence_word),
        DECISION(plan.evidence_amount, TRACE_U64, ANSWERED),
        DECISION(plan.latency_usec, TRACE_U64, ANSWERED),
        DECISION(plan.stall_usec, TRACE_U64, ANSWERED),
        DECISION(plug_budget_bytes, TRACE_U64, BIT(TRACE_GROW_NOTICE)),
};
const size_t trace_n_columns = ELEMENTSOF(trace_columns);

_Static_assert(ELEMENTSOF(trace_columns) <= TRACE_COLUMNS_MAX, "a form must hold every column");

int trace_print_value(char *text, size_t size, const TraceColumn *column, const TraceRow *row) {
        const void *value = (const char *) row + column->offset;
        const char *word;
        int n = -1;

        switch (column->type) {
        case TRACE_U64:
                n = snprintf(text, size, "%" PRIu64, *(const uint64_t *) value);
                break;
        case TRACE_I64:
                n = snprintf(text, size, "%" PRIi64, *(const int64_t *) value);
                break;
        case TRACE_UNSIGNED:
                n = snprintf(text, size, "%u", *(const unsigned *) value);
                break;
        case TRACE_BOOL:
                n = snprintf(text, size, "%d", *(const bool *) value);
                break;
        case TRACE_WORD:
                word = column->word(*(const unsigned *) value);
                n = snprintf(text, size, "%s", word ?: "");
                break;
        }
        return n < 0 || (size_t) n >= size ? -ENOBUFS : n;
}

int trace_print(char *text, size_t size, const TraceRow *row) {
        size_t at = 0;

        for (size_t i = 0; i < trace_n_columns; i++) {
                const TraceColumn *column = &trace_columns[i];
                int n = 0;

                if (at + 1 >= size)
                        return -ENOBUFS;
                if (!row) {
                        n = snprintf(text + at, size - at, "%s", column->name);
                        if (n < 0 || (size_t) n >= size - at)
                                return -ENOBUFS;
                } else if (column->rows & BIT(row->what))
                        n = trace_print_value(text + at, size - at, column, row);
                if (n < 0)
                        return n;
                at += (size_t) n;
                text[at++] = i + 1 < trace_n_columns ? ',' : '\n';
        }
        return (int) at;
}
