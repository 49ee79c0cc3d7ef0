/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Memory comes in waves: some blocks or some hundreds, each of them with an event when it is added and another when it is
 * online. To hear of each in the midst of it takes the CPU that the kernel, or the writer, is onlining with: for an event
 * libudev parses, and a folder and some files are opened; with the switch to the agent and back 1 ms under TCG, where the
 * kernel takes 3 for a block. So after the first event the socket is left alone. It holds those of 32 768 blocks, and says
 * when it could not; and how much it holds the kernel tells for one system call, in which a wave that still rises is seen.
 *
 * Where the kernel onlines there is nothing to do but to tell, which can wait. Where the agent does, the blocks of one DIMM
 * are waited for, which are added together and get the link by which they are known a moment later; then their own events
 * wait until they are written.
 *
 * When it has ended, what came with many blocks is not read at all: libudev takes 0.3 ms for an event (TCG, 6.1), and the
 * list of the blocks that there are says as much in one. The events are thrown away first, so that what comes after
 * the list has its own.
 *
 * Rejected: reading the events and only not looking at the blocks. It was most of the cost.
 */

#include <assert.h>

#include "agent/blocks/service-internal.h"
#include "common/units.h"

/* One event in the socket, as the kernel accounts for it (6.1: 744). */
#define EVENT_BYTES 768U

#define KERNEL_SLICE_USEC (100 * USEC_PER_MSEC)
#define KERNEL_MOST_USEC  (1 * USEC_PER_SEC)
#define AGENT_SLICE_USEC  (2 * USEC_PER_MSEC)
#define AGENT_MOST_USEC   (20 * USEC_PER_MSEC)

static void hear(BlockService *service, bool events) {
        if (service->monitor)
                block_monitor_pause(service->monitor, !events);
}

static void wait_for_more(BlockService *service, uint64_t now_usec) {
        uint64_t slice_usec = service->onliner.kernel_onlines ? KERNEL_SLICE_USEC : AGENT_SLICE_USEC;

        service->wave_waiting_bytes = service->monitor ? block_monitor_waiting_bytes(service->monitor) : 0;
        service->wave_at_usec = u64_min(u64_add(now_usec, slice_usec), service->wave_ends_usec);
        block_service_arm_timer(service);
}

bool block_service_wave_holds(BlockService *service) {
        uint64_t now_usec = block_service_now(service);

        if (service->wave == WAVE_NONE && service->started && service->range_state == RANGE_NONE) {
                service->wave = WAVE_RISING;
                service->wave_ends_usec =
                        u64_add(now_usec,
                                service->onliner.kernel_onlines ? KERNEL_MOST_USEC : AGENT_MOST_USEC);
                hear(service, false);
                (void) sd_event_source_set_enabled(service->work, SD_EVENT_OFF);
                wait_for_more(service, now_usec);
        }
        return service->wave == WAVE_RISING;
}

/* As many events as a quarter of the blocks: to list and to look at all costs less than to hear of these. */
static bool is_large(const BlockService *service) {
        return service->wave_waiting_bytes / EVENT_BYTES > service->onliner.table.n / 4;
}

bool block_service_wave_rises(BlockService *service) {
        uint64_t now_usec = block_service_now(service);

        if (service->wave != WAVE_RISING)
                return false;
        if (service->monitor && now_usec < service->wave_ends_usec &&
            block_monitor_waiting_bytes(service->monitor) != service->wave_waiting_bytes) {
                wait_for_more(service, now_usec);
                return true;
        }
        service->wave = WAVE_BROKEN;
        if (is_large(service)) {
                block_monitor_drop(service->monitor);
                block_service_rescan(service);
        }
        hear(service, true);
        return false;
}

void block_service_wave_write(BlockService *service) {
        service->wave = WAVE_WRITTEN;
        hear(service, false);
}

void block_service_wave_end(BlockService *service) {
        service->wave = WAVE_NONE;
        hear(service, true);
}
