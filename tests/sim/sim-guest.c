/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A guest that keeps accounts like a kernel: T is boot RAM less what the kernel keeps, plus what is plugged,
 * less the balloon; U is the workload, a base and 2.7 % of what is plugged (memmap and watermarks, shrink.md S7);
 * what does not fit is taken from clean cache, and then by the OOM killer. Speeds are of the order of
 * facts/shrink.md: plugging is several times faster than unplugging.
 */

#include <string.h>

#include "sim.h"

#define KEPT_BYTES      (28 * MIB) /* by the kernel, of boot RAM: never in MemTotal */
#define BASE_BYTES      (60 * MIB)
#define WATERMARK_BYTES (4 * MIB)
#define SUB_BLOCK_BYTES (2 * MIB)
#define PLUG_TICK       (10 * MIB) /* 2 GiB/s */
#define UNPLUG_TICK     (2 * MIB)  /* 0.4 GiB/s */
#define DEFLATE_TICK    (10 * MIB)
#define INFLATE_TICK    (2 * MIB)
#define RESOLUTION      (4 * KIB)

static uint64_t plugged_bytes(const SimGuest *guest) {
        uint64_t virtio_mem = guest->model.n_virtio_mem > 0 ? guest->model.virtio_mem[0].size_bytes : 0;

        return virtio_mem + guest->dimm_online_bytes;
}

uint64_t sim_guest_usable_bytes(const SimGuest *guest) {
        uint64_t offline = guest->model.dimm_bytes - guest->dimm_online_bytes;

        return memory_model_size_bytes(&guest->model) - KEPT_BYTES - offline;
}

static uint64_t used_bytes(const SimGuest *guest) {
        return BASE_BYTES + guest->anon_bytes + u64_scale(plugged_bytes(guest), 27, 1000);
}

uint64_t sim_guest_available_bytes(const SimGuest *guest) {
        return u64_sub(sim_guest_usable_bytes(guest), used_bytes(guest));
}

static uint64_t free_bytes(const SimGuest *guest) {
        return u64_sub(sim_guest_available_bytes(guest), guest->cache_bytes);
}

/* Makes up to bytes free by dropping cache. Returns what is free of it. */
static uint64_t make_free(SimGuest *guest, uint64_t bytes) {
        uint64_t spare = u64_sub(free_bytes(guest), WATERMARK_BYTES), drop;

        if (spare >= bytes)
                return bytes;
        drop = u64_min(bytes - spare, guest->cache_bytes);
        guest->cache_bytes -= drop;
        guest->scanned += drop / RESOLUTION;
        return spare + drop;
}

static void set_inflated(SimGuest *guest, uint64_t bytes) {
        guest->model.balloon_actual_bytes = guest->model.boot_bytes + guest->model.dimm_bytes - bytes;
}

static void work_virtio_mem(SimGuest *guest) {
        VirtioMem *device = &guest->model.virtio_mem[0];

        if (guest->model.n_virtio_mem == 0 || guest->now_usec < guest->moving_from_usec)
                return;
        if (device->size_bytes < device->requested_bytes)
                device->size_bytes += u64_min(PLUG_TICK, device->requested_bytes - device->size_bytes);
        else if (device->size_bytes > device->requested_bytes)
                device->size_bytes -= u64_align_down(
                        make_free(guest, u64_min(UNPLUG_TICK, device->size_bytes - device->requested_bytes)),
                        SUB_BLOCK_BYTES);
}

static void work_dimms(SimGuest *guest) {
        uint64_t offline = guest->model.dimm_bytes - guest->dimm_online_bytes;

        if (!guest->dimm_held && guest->now_usec >= guest->moving_from_usec)
                guest->dimm_online_bytes += u64_min(PLUG_TICK, offline);
}

bool sim_guest_take_offline(SimGuest *guest, uint64_t bytes) {
        if (make_free(guest, bytes) < bytes)
                return false;
        guest->dimm_online_bytes -= bytes;
        guest->dimm_held = true;
        return true;
}

static void work_balloon(SimGuest *guest) {
        uint64_t inflated = memory_model_balloon_bytes(&guest->model);

        if (!guest->model.has_balloon || guest->now_usec < guest->moving_from_usec)
                return;
        if (inflated > guest->inflate_goal_bytes)
                set_inflated(guest, inflated - u64_min(DEFLATE_TICK, inflated - guest->inflate_goal_bytes));
        else if (inflated < guest->inflate_goal_bytes)
                set_inflated(guest,
                             inflated + make_free(guest, u64_min(INFLATE_TICK,
                                                                 guest->inflate_goal_bytes - inflated)));
}

/* The balloon's OOM notifier gives pages back, where that was negotiated. */
static uint64_t deflate_on_oom(SimGuest *guest, uint64_t bytes) {
        uint64_t inflated = memory_model_balloon_bytes(&guest->model), give = u64_min(bytes, inflated);

        if (!guest->config.balloon_in_total)
                return 0;
        set_inflated(guest, inflated - give);
        guest->inflate_goal_bytes = u64_min(guest->inflate_goal_bytes, inflated - give);
        return give;
}

static void work_load(SimGuest *guest) {
        uint64_t wanted =
                guest->config.load ? guest->config.load(guest->config.load_argument, guest->now_usec) : 0;
        uint64_t more = u64_sub(wanted, guest->anon_bytes), got;

        if (guest->oom_kills > 0)
                return;
        got = make_free(guest, more);
        if (got < more) {
                guest->psi_usec += SIM_TICK_USEC;
                got += deflate_on_oom(guest, more - got);
        }
        if (got < more) {
                guest->oom_kills++;
                guest->anon_bytes = 0;
                return;
        }
        guest->anon_bytes = wanted;
        guest->available_least_bytes =
                u64_min(guest->available_least_bytes, sim_guest_available_bytes(guest));
}

void sim_guest_command(SimGuest *guest, const PlanStep *step) {
        guest->moving_from_usec = guest->now_usec + guest->config.plug_delay_usec;
        if (step->actuator == ACTUATOR_BALLOON)
                guest->inflate_goal_bytes = step->to_bytes;
        else if (step->actuator == ACTUATOR_DIMM) {
                memory_model_set_dimm(&guest->model, step->device, step->to_bytes);
                guest->dimm_held = false;
        } else
                guest->model.virtio_mem[step->device].requested_bytes = step->to_bytes;
}

void sim_guest_init(SimGuest *guest, const SimGuestConfig *config) {
        *guest = (SimGuest){
                .config = *config,
                .model = {.known = true,
                          .boot_bytes = config->boot_bytes,
                          .has_balloon = config->has_balloon},
                .inflate_goal_bytes = config->inflated_bytes,
                .cache_bytes = config->cache_bytes,
                .available_least_bytes = UINT64_MAX,
                .demand_config = {.actuator_delay_usec = 150 * USEC_PER_MSEC},
                .shrink_config = {.margin_bytes = 128 * MIB, .hold_usec = 120 * USEC_PER_SEC},
        };
        guest->model.free_slots = MEMORY_MODEL_DIMMS_MAX;
        guest->model.room_bytes = 2 * GIB;
        (void) memory_model_allow_dimms(&guest->model, config->dimm_bytes, 128 * MIB);
        if (config->plug_delay_usec == 0)
                guest->config.plug_delay_usec = 70 * USEC_PER_MSEC;
        set_inflated(guest, config->inflated_bytes);
        if (config->device_bytes > 0) {
                guest->model.n_virtio_mem = 1;
                guest->model.virtio_mem[0] = (VirtioMem){
                        .id = "vm0",
                        .max_bytes = config->device_bytes,
                        .block_bytes = SUB_BLOCK_BYTES,
                };
        }
}

void sim_guest_tick(SimGuest *guest, uint64_t now_usec) {
        guest->now_usec = now_usec;
        work_virtio_mem(guest);
        work_dimms(guest);
        work_balloon(guest);
        work_load(guest);
        sim_agent_tick(guest);
}
