/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A range of the host's, one at a time: checked, begun when the batch that is being written has ended, over when the writer
 * says so. Blocks are not onlined meanwhile: the two would race for the kernel's lock on hotplug, and for the same blocks.
 */

#include <assert.h>

#include "agent/blocks/service-internal.h"
#include "common/units.h"

static void end_range(BlockService *service, int error, uint64_t bytes) {
        BlockRangeResult result = {.command = service->range, .error = error, .bytes = bytes};

        service->range_state = RANGE_NONE;
        service->range_handler(&result, service->userdata);
}

/* Chosen anew: the batch that it had to wait for may have moved some of its blocks. */
static void begin_range(BlockService *service) {
        const BlockRangeCommand *range = &service->range;
        size_t n;

        if (block_onliner_select(&service->onliner, &service->range_blocks, range->back,
                                 block_writer_range(service->writer), &n) != REFUSAL_NONE) {
                end_range(service, ENOENT, 0);
                return;
        }
        service->range_state = RANGE_RUNNING;
        block_writer_start_range(service->writer, n, range->back,
                                 u64_min(range->deadline_usec,
                                         block_service_now(service) + OFFLINE_MOST_USEC));
}

void block_service_ranged(const OfflineRun *run, void *userdata) {
        BlockService *service = userdata;
        bool back = service->range.back;
        size_t n = back ? offline_count(run, OFFLINE_RESTORED)
                        : offline_count(run, OFFLINE_TAKEN) + offline_count(run, OFFLINE_LOST);

        block_onliner_settle(&service->onliner, &service->range_blocks, back, run);
        /* Before anybody is told: an agent that ends now has a successor. */
        block_onliner_save(&service->onliner);
        block_service_wake(service);
        end_range(service, run->error, u64_mul(n, service->onliner.survey.block_size_bytes));
}

bool block_service_range_turn(BlockService *service) {
        if (service->range_state == RANGE_DUE && !block_writer_is_busy(service->writer))
                begin_range(service);
        return service->range_state != RANGE_NONE;
}

RefusalReason block_service_check_range(BlockService *service, const BlockRangeCommand *command,
                                        uint64_t *ret_bytes) {
        uint64_t block_size_bytes;
        RefusalReason reason;
        OfflineRange range;
        size_t n;

        assert(service);
        assert(command);
        assert(ret_bytes);

        if (service->range_state != RANGE_NONE)
                return REFUSAL_UNSETTLED;
        block_size_bytes = service->onliner.survey.block_size_bytes;
        if (!offline_range(command->address, command->bytes, block_size_bytes, &range))
                return REFUSAL_INVALID;
        reason = block_onliner_select(&service->onliner, &range, command->back,
                                      block_writer_range(service->writer), &n);
        if (reason == REFUSAL_NONE)
                *ret_bytes = u64_mul(n, block_size_bytes);
        return reason;
}

void block_service_start_range(BlockService *service, const BlockRangeCommand *command) {
        bool valid;

        assert(service);
        assert(command);
        assert(service->range_state == RANGE_NONE);

        valid = offline_range(command->address, command->bytes, service->onliner.survey.block_size_bytes,
                              &service->range_blocks);
        assert(valid);
        (void) valid;
        service->range = *command;
        service->range_state = RANGE_DUE;
        block_service_wake(service);
}

void block_service_cancel_range(BlockService *service) {
        assert(service);

        service->range.deadline_usec = 0; /* if it has not begun */
        if (service->range_state == RANGE_RUNNING)
                block_writer_cancel_range(service->writer);
}

bool block_service_is_ranging(const BlockService *service) {
        assert(service);
        return service->range_state != RANGE_NONE;
}

uint64_t block_service_offlining_bytes(const BlockService *service) {
        assert(service);
        return service->range_state == RANGE_RUNNING && !service->range.back
                       ? service->onliner.survey.block_size_bytes
                       : 0;
}
