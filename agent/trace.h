/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The form of a recording: one line of comma-separated values for each time that the pure cores were asked, with what they were
 * given and what they answered. Pure. recorder.c writes it, replay.c reads it; memtide-agent(8) describes it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/policy/demand.h"
#include "agent/policy/shrink.h"
#include "agent/policy/snapshot.h"

/* Whatever it is about is judged by the last sample before it. */
typedef enum TraceWhat {
        TRACE_SAMPLE,       /* demand_step(), and of what came of it shrink_watch() */
        TRACE_CONFIGURE,    /* terms of a shrink, from here on */
        TRACE_ASK,          /* shrink_ask() */
        TRACE_BUSY,         /* asked while something is under way: answered by the shell */
        TRACE_CUT,          /* a reclaim is told to end early */
        TRACE_FREED,        /* a reclaim is over: shrink_freed() */
        TRACE_LEARN,        /* demand_learn_probe(), of the answer before it */
        TRACE_RANGE,        /* shrink_check_range() */
        TRACE_RANGE_FAILED, /* shrink_range_failed() */
        TRACE_RANGE_BACK,   /* memory is put online again at the host's word */
        TRACE_RESET,        /* shrink_reset() */
        TRACE_GROW_NOTICE,  /* demand_check_growth() */
        TRACE_WHAT_MAX,
} TraceWhat;

/* "sample", "ask", ...; NULL for what is none. */
const char *trace_what_to_string(unsigned what);

typedef struct TraceRow {
        uint64_t n_dropped; /* rows so far that found no room: a replay over a gap is none */
        unsigned what;      /* TraceWhat */

        /* TRACE_SAMPLE */
        DemandConfig config;
        Snapshot snapshot;
        Demand demand;

        /* TRACE_CONFIGURE */
        ShrinkConfig shrink_config;
        bool can_reclaim;

        ShrinkAsk ask;   /* what it is about, as far as there is something */
        ShrinkPlan plan; /* the answer */
        uint64_t plug_budget_bytes;
} TraceRow;

typedef enum TraceType { TRACE_U64, TRACE_I64, TRACE_UNSIGNED, TRACE_BOOL, TRACE_WORD } TraceType;

typedef struct TraceColumn {
        const char *name;
        size_t offset; /* into TraceRow */
        TraceType type;
        bool is_decision;
        unsigned rows;                 /* bits 1 << TraceWhat that have it; empty in others */
        const char *(*word)(unsigned); /* TRACE_WORD */
} TraceColumn;
extern const TraceColumn trace_columns[];
extern const size_t trace_n_columns;

/* Writes the row, or with NULL the names of the columns, newline and all. Returns the length, or -ENOBUFS. */
int trace_print(char *text, size_t size, const TraceRow *row);

/* One value as it is in a row. Returns its length, or -ENOBUFS. */
int trace_print_value(char *text, size_t size, const TraceColumn *column, const TraceRow *row);

/* The columns of a recording, which may be an older or a later agent's. */
#define TRACE_COLUMNS_MAX 160U
typedef struct TraceForm {
        unsigned n_columns;
        int columns[TRACE_COLUMNS_MAX]; /* index into trace_columns, -1: not known here */
        bool has[TRACE_COLUMNS_MAX];    /* by index into trace_columns */
} TraceForm;

/* line: without its newline, and taken apart. Each returns 0, or -EBADMSG for what is no such line. */
int trace_form_parse(char *line, TraceForm *ret);
int trace_parse(const TraceForm *form, char *line, TraceRow *ret);
