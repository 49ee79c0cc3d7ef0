/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A report as a line of JSON, as a careful program without a schema would do it: the peer of proto/wire.h. */

#include <stdbool.h>
#include <stddef.h>

#include "proto/message.h"

/* Returns the length with the closing newline, or 0 if it does not fit. */
size_t bench_json_encode(const Message *message, char *out, size_t size);

/* Returns false unless each field is there, a number, and not negative (but for the need). */
bool bench_json_decode(const char *text, size_t size, Message *ret);
