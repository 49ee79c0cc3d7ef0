/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Log lines for people and, with typed fields, for machines: to the journal when stderr is connected
 * to it (or when told so), to stderr otherwise. Never blocks for long, never allocates.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

#include "common/macro.h"

typedef enum LogTarget {
        LOG_TARGET_AUTO, /* the journal if stderr is a journal stream, else stderr */
        LOG_TARGET_JOURNAL,
        LOG_TARGET_STDERR,
} LogTarget;

/* One journal field. name is A-Z, 0-9 and _, as sd_journal_send(3) demands; without a value it is the number. */
typedef struct LogField {
        const char *name;
        const char *value;
        int64_t number;
} LogField;

/* To be called once, from main. max_level: LOG_ERR .. LOG_DEBUG; lines above it are dropped. */
void log_setup(LogTarget target, int max_level);
void log_set_max_level(int max_level);
int log_get_max_level(void);

/*
 * "error", "warning", "notice", "info", "debug" or 0..7.
 * Returns the level, or -EINVAL.
 */
int log_level_from_string(const char *text);

/* "auto", "journal" or "stderr". Returns the LogTarget, or -EINVAL. */
int log_target_from_string(const char *text);

/* Writes one line. error is a negative errno (%m in format means it) or 0. Returns error. */
int log_line(int level, int error, const char *format, ...) _printf_(3, 4);

/*
 * Writes one line with fields: message_id is the 128-bit id of the kind of event as 32 hex digits
 * (packaging/memtide.catalog explains each), fields are borrowed for the call, at most 24 are used.
 * On stderr the fields follow the message as NAME=value. error is as above.
 */
void log_event_errno(int level, int error, const char *message_id, const LogField *fields, size_t n_fields,
                     const char *format, ...) _printf_(6, 7);
#define log_event(level, ...) log_event_errno(level, 0, __VA_ARGS__)

/* The two arguments for fields that are written out: LOG_FIELDS({"NAME", text}, {"NAME", .number = 5}). */
#define LOG_FIELDS(...) (const LogField[]){__VA_ARGS__}, ELEMENTSOF(((const LogField[]){__VA_ARGS__}))

#define log_error(...)   ((void) log_line(LOG_ERR, 0, __VA_ARGS__))
#define log_warning(...) ((void) log_line(LOG_WARNING, 0, __VA_ARGS__))
#define log_notice(...)  ((void) log_line(LOG_NOTICE, 0, __VA_ARGS__))
#define log_info(...)    ((void) log_line(LOG_INFO, 0, __VA_ARGS__))
#define log_debug(...)   ((void) log_line(LOG_DEBUG, 0, __VA_ARGS__))

#define log_error_errno(error, ...)   log_line(LOG_ERR, error, __VA_ARGS__)
#define log_warning_errno(error, ...) log_line(LOG_WARNING, error, __VA_ARGS__)
#define log_info_errno(error, ...)    log_line(LOG_INFO, error, __VA_ARGS__)
#define log_debug_errno(error, ...)   log_line(LOG_DEBUG, error, __VA_ARGS__)

/*
 * Says once per path that it cannot be used, error (-errno) is why, and what is done without. Any thread may.
 */
void log_unusable(const char *path, int error, const char *without);

/*
 * A token bucket for lines that a peer can provoke.
 * Returns true if this one may be written; counts the others, ret_suppressed tells how many were
 * swallowed since the last one that was allowed. now_usec: CLOCK_MONOTONIC.
 */
typedef struct LogLimit {
        uint64_t window_start_usec;
        unsigned n_in_window;
        unsigned n_suppressed;
} LogLimit;
bool log_limit_allows(LogLimit *limit, uint64_t now_usec, unsigned *ret_suppressed);
