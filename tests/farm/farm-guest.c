/* SPDX-License-Identifier: Apache-2.0 */

/* What a guest says: its figures, its answers, and the invariants' side of both (what was told is what counts). */

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "farm-agents.h"
#include "proto/wire.h"

#define RESERVE_BYTES (64 * MIB)
#define REST_BYTES    (16 * MIB) /* a kernel would kill before it uses these */

bool agent_write(unsigned i, const void *data, size_t size) {
        ssize_t n = send(agents[i].fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n > 0)
                atomic_fetch_add(&farm->stats.bytes, (uint64_t) n);
        if (n == (ssize_t) size)
                return true;
        atomic_fetch_add(&farm->stats.blocked, 1);
        return false;
}

size_t agent_encode(unsigned i, Message *message, uint8_t frame[static FRAME_ENCODED_MAX]) {
        message->session = message->type == MESSAGE_HELLO ? 0 : agents[i].session;
        message->sequence = ++agents[i].sequence;
        message->monotonic_usec = farm_now();
        return wire_encode(message, frame);
}

static bool tell(unsigned i, Message *message) {
        uint8_t frame[FRAME_ENCODED_MAX];
        size_t n = agent_encode(i, message, frame);

        if (n == 0) {
                fprintf(stderr, "farm: a %s out of range\n", message_type_to_string(message->type));
                exit(2);
        }
        return agent_write(i, frame, n);
}

static uint64_t demand_of(unsigned i) {
        return atomic_load(&farm->walks) ? agents[i].used_bytes + RESERVE_BYTES : farm_usable_bytes(farm, i);
}

void agent_hello(unsigned i) {
        Message message = {
                .type = MESSAGE_HELLO,
                .hello =
                        {
                                .major = MESSAGE_PROTOCOL_MAJOR,
                                .minor = MESSAGE_PROTOCOL_MINOR,
                                .agent_version = "0.1.0",
                                .kernel_release = "6.1.0-farm",
                                .start_nonce = agents[i].start_nonce,
                                .handshake_nonce = farm_draw(),
                                .page_size_bytes = 4096,
                                .block_size_bytes = 128 * MIB,
                                .memory_total_bytes = farm_usable_bytes(farm, i),
                                .capabilities = CAPABILITY_BLOCKS | CAPABILITY_BALLOON |
                                                CAPABILITY_VIRTIO_MEM | CAPABILITY_RECLAIM,
                        },
        };

        (void) tell(i, &message);
}

Message agent_report_of(unsigned i) {
        uint64_t total = farm_usable_bytes(farm, i), demand = demand_of(i);
        uint64_t used = u64_min(u64_sub(demand, RESERVE_BYTES), total - REST_BYTES);
        int64_t need = u64_delta(demand, total);

        return (Message){
                .type = MESSAGE_REPORT,
                .report =
                        {
                                .memory_total_bytes = total,
                                .memory_available_bytes = total - used,
                                .memory_free_bytes = total - used,
                                .usable_bytes = total,
                                .used_bytes = used,
                                .reserve_bytes = RESERVE_BYTES,
                                .demand_bytes = demand,
                                .need_bytes = need,
                                .floor_bytes = used,
                                .urgency = need > 0 ? URGENCY_HIGH : URGENCY_NONE,
                                .cause = need > 0 ? CAUSE_PREDICT : CAUSE_NONE,
                                .blocks_online = 4,
                                .plug_budget_bytes = 4 * GIB,
                                .interval_usec = farm->options.interval_usec,
                        },
        };
}

/* It wants more, less, or what it wants already. */
static void walk(Agent *agent) {
        uint64_t most = u64_min(farm->options.boot_bytes + farm->options.vmem_max_bytes, 4 * GIB);

        if (farm_draw() % 4 == 0)
                agent->used_bytes = farm->options.boot_bytes / 4 + farm_draw() % (most / 2);
}

void agent_report(unsigned i) {
        FarmVm *vm = &farm->vms[i];
        Message message;
        unsigned unserved;

        if (atomic_load(&farm->walks))
                walk(&agents[i]);
        message = agent_report_of(i);
        agents[i].told_floor_bytes = message.report.floor_bytes;
        /* A step that is offered is judged by what was told before it: the command may be under way. */
        if (atomic_load(&vm->offered_bytes) == 0)
                atomic_store(&vm->floor_bytes, message.report.floor_bytes);
        if (message.report.need_bytes > 0) {
                atomic_store(&vm->needy_usec, farm_now());
                unserved = atomic_fetch_add(&vm->unserved, 1) + 1;
                if (unserved > atomic_load(&farm->stats.unserved_peak))
                        atomic_store(&farm->stats.unserved_peak, unserved);
        } else
                atomic_store(&vm->unserved, 0);
        if (tell(i, &message))
                atomic_fetch_add(&farm->stats.reports, 1);
}

void agent_probe(unsigned i) {
        FarmVm *vm = &farm->vms[i];
        Message message = {
                .type = MESSAGE_ALARM,
                .alarm =
                        {
                                .urgency = URGENCY_CRITICAL,
                                .cause = CAUSE_PREDICT,
                                .need_bytes = (int64_t) FARM_PROBE_BYTES,
                                .usable_bytes = farm_usable_bytes(farm, i),
                                .memory_available_bytes = REST_BYTES,
                                .time_to_exhaustion_usec = USEC_PER_SEC,
                                .plug_budget_bytes = 4 * GIB,
                        },
        };

        atomic_store(&vm->needy_usec, farm_now());
        atomic_store(&vm->probe_usec, farm_now());
        if (tell(i, &message))
                atomic_fetch_add(&farm->stats.alarms, 1);
}

void agent_offer(unsigned i, const MessageShrinkRequest *request) {
        Agent *agent = &agents[i];
        uint64_t total = farm_usable_bytes(farm, i), floor = u64_max(demand_of(i), 128 * MIB);
        uint64_t bytes = u64_min(request->bytes, u64_sub(total, floor)) & ~(FARM_BLOCK_BYTES - 1);
        Message message = {
                .type = MESSAGE_SHRINK_OFFER,
                .shrink_offer =
                        {
                                .id = request->id,
                                .step = request->step,
                                .offered_bytes = bytes,
                                .reason = bytes > 0 ? REFUSAL_NONE : REFUSAL_MARGIN,
                        },
        };

        if (agent->resize_id != request->id)
                atomic_store(&farm->vms[i].base_bytes, total);
        agent->resize_id = request->id;
        agent->resize_step = request->step;
        agent->resize_base = total;
        /* Of the last report, also of one that came while the step before this one was under way. */
        atomic_store(&farm->vms[i].floor_bytes, agent->told_floor_bytes);
        atomic_store(&farm->vms[i].offered_bytes, bytes);
        (void) tell(i, &message);
}

/* Its size has changed. */
void agent_confirm(unsigned i) {
        const Agent *agent = &agents[i];
        uint64_t total = farm_usable_bytes(farm, i);
        Message message = {
                .type = MESSAGE_RESIZE_CONFIRM,
                .resize_confirm =
                        {
                                .id = agent->resize_id,
                                .step = agent->resize_step,
                                .delta_bytes = u64_delta(total, agent->resize_base),
                                .usable_bytes = total,
                                .blocks_online = 4,
                                .latency_usec = 1000,
                        },
        };

        if (agent->session == 0 || agent->resize_id == 0 ||
            atomic_load(&farm->vms[i].agent_mode) != AGENT_HONEST)
                return;
        if (tell(i, &message))
                atomic_fetch_add(&farm->stats.confirms, 1);
}
