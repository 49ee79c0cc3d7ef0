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
 * monitors took a quarter of the bridge's CPU.
 */

#include "host-bridge/vmm/vmm-watch.h"

#include <time.h>

#define WATCH_USEC (10 * USEC_PER_SEC)

static uint64_t now_of(sd_event *event) {
        uint64_t now_usec;

        (void) sd_event_now(event, CLOCK_MONOTONIC, &now_usec);
        return now_usec;
}

void vmm_watch_begin(VmmWatch *watch, sd_event *event) {
        watch->until_usec = u64_add(now_of(event), WATCH_USEC);
}

void vmm_watch_note_balloon(VmmWatch *watch, uint64_t inflated_bytes) {
        watch->balloon_commanded = true;
        watch->balloon_bytes = inflated_bytes;
}

void vmm_watch_forget_balloon(VmmWatch *watch) {
        watch->balloon_commanded = false;
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
