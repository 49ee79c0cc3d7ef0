/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A replay is exact because the cores are pure: the same structs, in the same order, give the same answers, on any machine
 * and at any time. What is printed is what was decided now; each value of it that the recording has is compared as text, so
 * as it was written. Columns that the recording does not have, as an older agent's may not, are not compared.
 *
 * Rejected: to go on after a difference. The cores remember, so all that follows may differ for that reason alone.
 */

#include "agent/replay.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/trace.h"
#include "common/macro.h"
#include "common/parse.h"
#include "common/units.h"
#include "common/vocabulary.h"

typedef struct Replay {
        const char *name;
        FILE *out;
        bool quiet;
        TraceForm form;
        unsigned n_line, n_samples, n_events;

        DemandState demand_state;
        ShrinkState shrink_state;
        ShrinkConfig shrink_config;
        bool can_reclaim;
        uint64_t first_usec, free_before_bytes;

        TraceRow last; /* the last sample, and what was decided since */
} Replay;

/* -- what is printed ------------------------------------------------------------------------------- */

static void _printf_(2, 3) say(const Replay *replay, const char *format, ...) {
        uint64_t usec = u64_sub(replay->last.snapshot.now_usec, replay->first_usec);
        va_list arguments;

        if (replay->quiet)
                return;
        fprintf(replay->out, "%8" PRIu64 ".%03" PRIu64 " s  ", usec / USEC_PER_SEC,
                usec % USEC_PER_SEC / USEC_PER_MSEC);
        va_start(arguments, format);
        (void) vfprintf(replay->out, format, arguments);
        va_end(arguments);
        (void) fputc('\n', replay->out);
}

static void say_plan(const Replay *replay, const ShrinkAsk *ask, const ShrinkPlan *plan) {
        const char *word = shrink_verdict_to_string(plan->verdict);
        char size[FORMAT_SIZE_MAX], hold[FORMAT_TIMESPAN_MAX];

        switch (plan->verdict) {
        case SHRINK_RECLAIM:
                format_size(size, plan->reclaim_bytes);
                break;
        case SHRINK_OFFERED:
                format_size(size, plan->offered_bytes);
                break;
        case SHRINK_MOVED:
        case SHRINK_CONFIRMED:
                format_size(size, UINT64_C(0) - (uint64_t) (plan->delta_bytes < 0 ? plan->delta_bytes : 0));
                break;
        case SHRINK_REFUSED:
                say(replay, "shrink %" PRIu64 " step %u: refused for %s, held %s", ask->id, ask->step,
                    refusal_reason_to_string(plan->reason), format_timespan(hold, plan->hold_usec));
                return;
        case SHRINK_VETO:
                say(replay, "shrink %" PRIu64 " step %u: vetoed, %s of %" PRIu64 " in %" PRIu64 " ms",
                    ask->id, ask->step, shrink_evidence_to_string(plan->evidence), plan->evidence_amount,
                    plan->latency_usec / USEC_PER_MSEC);
                return;
        case SHRINK_LAPSED:
                say(replay, "shrink %" PRIu64 " step %u: lapsed", ask->id, ask->step);
                return;
        case SHRINK_IDLE:
        case SHRINK_WAITING:
        case SHRINK_VERDICT_MAX:
                return;
        }
        say(replay, "shrink %" PRIu64 " step %u: %s, %s", ask->id, ask->step, word, size);
}

static void say_demand(const Replay *replay, const Demand *demand) {
        char size[FORMAT_SIZE_MAX];

        if (demand->rose)
                say(replay, "urgency %s for %s, %s more", urgency_to_string(demand->urgency),
                    cause_to_string(demand->cause),
                    format_size(size, demand->need_bytes > 0 ? (uint64_t) demand->need_bytes : 0));
}

/* -- one row --------------------------------------------------------------------------------------- */

static void replay_sample(Replay *replay, const TraceRow *row, TraceRow *decided) {
        if (replay->n_samples++ == 0)
                replay->first_usec = row->snapshot.now_usec;
        decided->demand = demand_step(&row->config, &replay->demand_state, &row->snapshot);
        decided->plan =
                shrink_watch(&replay->shrink_config, &replay->shrink_state, &row->snapshot, &decided->demand);
        replay->last = *decided;
        say_demand(replay, &decided->demand);
        say_plan(replay, &decided->ask, &decided->plan);
}

static void replay_ask(Replay *replay, TraceRow *decided) {
        const Snapshot *now = &replay->last.snapshot;
        char size[FORMAT_SIZE_MAX];

        say(replay, "shrink %" PRIu64 " step %u: the host asks for %s", decided->ask.id, decided->ask.step,
            format_size(size, decided->ask.bytes));
        decided->plan = shrink_ask(&replay->shrink_config, &replay->shrink_state, &decided->ask, now,
                                   &replay->last.demand, replay->can_reclaim);
        if (decided->plan.verdict == SHRINK_RECLAIM)
                replay->free_before_bytes = now->free_bytes;
        say_plan(replay, &decided->ask, &decided->plan);
}

static void replay_range(Replay *replay, TraceRow *decided) {
        char size[FORMAT_SIZE_MAX];

        decided->plan.reason =
                shrink_check_range(&replay->shrink_config, &replay->shrink_state, decided->ask.id,
                                   decided->ask.bytes, &replay->last.snapshot, &replay->last.demand);
        say(replay, "range %" PRIu64 " of %s to go offline: %s", decided->ask.id,
            format_size(size, decided->ask.bytes),
            decided->plan.reason == REFUSAL_NONE ? "yes" : refusal_reason_to_string(decided->plan.reason));
}

static void replay_grow_notice(Replay *replay, TraceRow *decided) {
        const ShrinkAsk *ask = &decided->ask;
        char size[FORMAT_SIZE_MAX];

        decided->plug_budget_bytes = demand_plug_budget_bytes(&replay->last.snapshot);
        decided->plan.reason = demand_check_growth(&replay->last.snapshot, ask->bytes, ask->balloon);
        say(replay, "growth %" PRIu64 " of %s comes: %s", ask->id, format_size(size, ask->bytes),
            decided->plan.reason == REFUSAL_NONE ? "yes" : refusal_reason_to_string(decided->plan.reason));
}

/* Asks the core again that was asked then. decided: the row, with its decisions made anew. */
static void replay_row(Replay *replay, const TraceRow *row, TraceRow *decided) {
        *decided = *row;
        replay->n_events += row->what != TRACE_SAMPLE;
        switch ((TraceWhat) row->what) {
        case TRACE_SAMPLE:
                replay_sample(replay, row, decided);
                return;
        case TRACE_CONFIGURE:
                replay->shrink_config = row->shrink_config;
                replay->can_reclaim = row->can_reclaim;
                return;
        case TRACE_ASK:
                replay_ask(replay, decided);
                break;
        case TRACE_FREED:
                decided->plan =
                        shrink_freed(&replay->shrink_config, &replay->shrink_state, &replay->last.snapshot,
                                     &replay->last.demand, replay->free_before_bytes);
                say_plan(replay, &decided->ask, &decided->plan);
                break;
        case TRACE_LEARN: /* of what the last answer says */
                decided->plan = replay->last.plan;
                demand_learn_probe(&replay->demand_state, decided->plan.freed_bytes,
                                   decided->plan.back_bytes);
                return;
        case TRACE_RANGE:
                replay_range(replay, decided);
                return;
        case TRACE_RANGE_FAILED:
                shrink_range_failed(&replay->shrink_state, row->ask.id);
                return;
        case TRACE_RESET:
                say(replay, "the session is over");
                shrink_reset(&replay->shrink_state);
                return;
        case TRACE_GROW_NOTICE:
                replay_grow_notice(replay, decided);
                return;
        case TRACE_BUSY: /* the shell's own, as it happened */
        case TRACE_CUT:
        case TRACE_RANGE_BACK:
        case TRACE_WHAT_MAX:
                return;
        }
        replay->last.plan = decided->plan;
}

/* Returns 0, or 1 if something is decided otherwise, which is printed. */
static int compare(const Replay *replay, const TraceRow *row, const TraceRow *decided) {
        for (size_t i = 0; i < trace_n_columns; i++) {
                const TraceColumn *column = &trace_columns[i];
                char was[64] = "", is[64] = "";

                if (!column->is_decision || !replay->form.has[i] || !(column->rows & 1U << row->what))
                        continue;
                (void) trace_print_value(was, sizeof(was), column, row);
                (void) trace_print_value(is, sizeof(is), column, decided);
                if (strcmp(was, is) == 0)
                        continue;
                fprintf(replay->out, "%s:%u: %s: %s was recorded as %s, and is decided as %s\n", replay->name,
                        replay->n_line, trace_what_to_string(row->what), column->name, was, is);
                return 1;
        }
        return 0;
}

/* -- all of them ----------------------------------------------------------------------------------- */

static int complain(const Replay *replay, const char *why) {
        fprintf(replay->out, "%s:%u: %s\n", replay->name, replay->n_line, why);
        return -EBADMSG;
}

static int replay_line(Replay *replay, char *line, size_t length) {
        TraceRow row, decided;

        replay->n_line++;
        if (line[length - 1] == '\n')
                line[--length] = '\0';
        if (strlen(line) != length)
                return complain(replay, "a line with a NUL in it");
        if (replay->n_line == 1)
                return trace_form_parse(line, &replay->form) < 0
                               ? complain(replay, "these are not the columns of a recording")
                               : 0;
        if (trace_parse(&replay->form, line, &row) < 0)
                return complain(replay, "this is no line of a recording");
        if (row.n_dropped > 0)
                return complain(replay, "lines are missing before this one: it cannot be replayed");
        replay_row(replay, &row, &decided);
        return compare(replay, &row, &decided);
}

int replay_run(FILE *recording, const char *name, bool quiet, FILE *out) {
        Replay replay = {.name = name, .out = out, .quiet = quiet};
        _cleanup_free_ char *line = NULL;
        size_t size = 0;
        ssize_t n;
        int r = 0;

        assert(recording);
        assert(name);
        assert(out);

        while (r == 0 && (n = getline(&line, &size, recording)) > 0)
                r = replay_line(&replay, line, (size_t) n);
        if (r == 0 && ferror(recording))
                return -errno;
        if (r == 0 && replay.n_samples == 0)
                r = complain(&replay, "there is nothing in it");
        if (r == 0)
                fprintf(out, "%s: %u samples and %u events, all decided as recorded\n", name,
                        replay.n_samples, replay.n_events);
        return r;
}
