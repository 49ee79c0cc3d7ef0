/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Events are hints only: QEMU limits them to one a second, sends none for a DIMM (kernel-qemu.md 9.1, 3.5), and never
 * repeats those that a new connection missed; libvirt passes on what it gets. While something is unsettled we therefore
 * read every 100 ms, for as long as it moves and 10 s more; virtio-mem that stays short of its request is a steady state,
 * not a reason to poll for ever.
 *
 * What is settled is read every VMM_REFRESH_USEC. What that finds, and events do not tell: a request of another hand to which
 * the guest does not move (as soon as memory moves an event tells, and whose request it was is seen at once), a DIMM that
 * no guest has acknowledged, a migration under way (QEMU sends MIGRATION only to who has asked the migration for it), and a
 * monitor that hangs without anybody wanting something of it. None of these moves memory, and a command that they make
 * wrong is refused by QEMU or times out within 2 s, as it would without any reading. At 10 s, as once was, reading 10,000
 * monitors took a quarter of the bridge's CPU; at 60 s it is a tenth.
 *
 * All hypervisors of a host are connected in the same moment, and would be read in the same moment for ever: a second's
 * alarms would wait behind thousands of answers. So the first pause is any part of the period; and since what has all of
 * them read at once puts them side by side again, later ones differ by up to a quarter, and drift apart.
 */

#include "host-bridge/vmm/vmm-watch.h"

#include <time.h>

#define WATCH_USEC (10 * USEC_PER_SEC)

/* 2^32 over the golden ratio: multiples of it lie evenly in any interval. */
#define SPREAD_STEP UINT64_C(2654435769)

static uint64_t now_of(sd_event *event) {
        uint64_t now_usec;

        (void) sd_event_now(event, CLOCK_MONOTONIC, &now_usec);
        return now_usec;
}

VmmWatch vmm_watch_new(void) {
        static uint64_t n_made;

        return (VmmWatch){.spread = ++n_made * SPREAD_STEP};
}

void vmm_watch_renew(VmmWatch *watch) {
        watch->balloon_commanded = watch->placed = false;
}

void vmm_watch_begin(VmmWatch *watch, sd_event *event) {
        watch->until_usec = u64_add(now_of(event), WATCH_USEC);
}

void vmm_watch_note_balloon(VmmWatch *watch, uint64_t inflated_bytes) {
        watch->balloon_commanded = true;
        watch->balloon_bytes = inflated_bytes;
}

static bool is_unsettled(const VmmWatch *watch, const MemoryModel *model) {
        for (unsigned i = 0; i < model->n_virtio_mem; i++)
                if (model->virtio_mem[i].size_bytes != model->virtio_mem[i].requested_bytes)
                        return true;
        /* By what it holds: a DIMM moves its logical size. In pages, as it was commanded. */
        return model->has_balloon && watch->balloon_commanded &&
               memory_model_balloon_bytes(model) / (4 * KIB) != watch->balloon_bytes / (4 * KIB);
}

bool vmm_watch_is_on(const VmmWatch *watch, sd_event *event, const MemoryModel *model, bool pending) {
        return (pending || is_unsettled(watch, model)) && now_of(event) < watch->until_usec;
}

uint64_t vmm_watch_pause_usec(VmmWatch *watch, uint64_t refresh_usec) {
        uint64_t part = watch->placed ? refresh_usec / 4 : refresh_usec;

        watch->placed = true;
        return refresh_usec - (part > 0 ? watch->spread % part : 0);
}
