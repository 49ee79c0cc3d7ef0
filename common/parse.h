/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Strict text to number conversions over (pointer, length): pure, no locale, no trailing bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Each returns 0, or -EINVAL for text that is no such number and -ERANGE for one that does not fit;
 * the output is untouched on failure.
 */

/* Decimal digits only, at least one. */
int parse_u64(const char *text, size_t length, uint64_t *ret);

/* Optional 0x, then 1 to 16 hex digits (memory block_size_bytes has no 0x). */
int parse_hex_u64(const char *text, size_t length, uint64_t *ret);

/* "512M", "1.5G", "4096", with B, K, M, G, T (powers of 1024), optionally followed by "iB" or "B". */
int parse_size(const char *text, size_t length, uint64_t *ret_bytes);

/* "5s", "250ms", "2min", "1h", "100us"; a plain number is seconds. */
int parse_timespan(const char *text, size_t length, uint64_t *ret_usec);

/* "0%" .. "100%"; the sign is required. */
int parse_percent(const char *text, size_t length, uint64_t *ret_percent);

/* yes/no, true/false, on/off, 1/0. */
int parse_boolean(const char *text, size_t length, bool *ret);

/*
 * Size as people write it ("512M", "1.5G"; exact when it divides, else with one decimal) into buffer.
 * Returns buffer.
 */
#define FORMAT_SIZE_MAX 32
const char *format_size(char buffer[static FORMAT_SIZE_MAX], uint64_t bytes);

/* Time as people write it ("250ms", "1.5s", "2min"). Returns buffer. */
#define FORMAT_TIMESPAN_MAX 32
const char *format_timespan(char buffer[static FORMAT_TIMESPAN_MAX], uint64_t usec);
