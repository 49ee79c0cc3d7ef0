/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The slow rounds: what has no event of its own, or whose event may be lost. */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"

typedef struct Rounds Rounds;

/* Called every second; slow in each tenth round. */
typedef void (*RoundHandler)(uint64_t now_usec, bool slow, void *userdata);

int rounds_new(sd_event *event, RoundHandler handler, void *userdata, Rounds **ret);
Rounds *rounds_free(Rounds *rounds);
DEFINE_CLEANUP_FUNC(Rounds, rounds_free)
