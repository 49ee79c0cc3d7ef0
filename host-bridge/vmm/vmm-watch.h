/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When a hypervisor is to be read: often while something of what was asked for is on its way, and moves; else now and then. */

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/units.h"
#include "host-bridge/policy/memory-model.h"

/* Between readings of what is settled: why so long, in vmm-watch.c. */
#define VMM_REFRESH_USEC (60 * USEC_PER_SEC)

typedef struct VmmWatch {
        bool balloon_commanded;
        uint64_t balloon_bytes; /* inflated, as last commanded */
        uint64_t until_usec;
        uint64_t spread; /* sets its readings apart from those of others */
        bool placed;     /* the first of them was, since it is connected */
} VmmWatch;

VmmWatch vmm_watch_new(void);

/* The connection is lost: the next one begins anew. */
void vmm_watch_renew(VmmWatch *watch);

/* Something is expected to move, or has just moved. */
void vmm_watch_begin(VmmWatch *watch, sd_event *event);

void vmm_watch_note_balloon(VmmWatch *watch, uint64_t inflated_bytes);

/* The next reading is to be soon. pending: of what model does not show something is on its way. */
bool vmm_watch_is_on(const VmmWatch *watch, sd_event *event, const MemoryModel *model, bool pending);

/* How long from a reading of what is settled to the next one: more than 0, at most refresh_usec. */
uint64_t vmm_watch_pause_usec(VmmWatch *watch, uint64_t refresh_usec);
