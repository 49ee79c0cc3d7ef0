/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The loop around the onliner: kernel events, a slow timer that trusts none of them, retries, a source of low
 * priority that does the work in turns, and the thread that writes. It listens before it looks, so that nothing
 * falls between. A range that the host names is in service-range.c, when events are not listened to in service-wave.c.
 */

#include "agent/blocks/service.h"

#include <assert.h>

#include "agent/blocks/service-internal.h"
#include "common/log.h"
#include "common/units.h"

#define RESCAN_DEFAULT_USEC (30 * USEC_PER_SEC)

/* Samples and the port go first. */
#define WORK_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

uint64_t block_service_now(const BlockService *service) {
        uint64_t usec = 0;

        (void) sd_event_now(service->event, CLOCK_MONOTONIC, &usec); /* fails only for a wrong clock */
        return usec;
}

void block_service_wake(BlockService *service) {
        if (service->started)
                (void) sd_event_source_set_enabled(service->work, SD_EVENT_ON);
}

void block_service_arm_timer(BlockService *service) {
        uint64_t at_usec = u64_min(block_onliner_retry_usec(&service->onliner), service->rescan_at_usec);

        if (service->wave == WAVE_RISING) /* all else waits for it */
                at_usec = service->wave_at_usec;
        (void) sd_event_source_set_time(service->timer, at_usec);
        (void) sd_event_source_set_enabled(service->timer, SD_EVENT_ONESHOT);
}

static int on_work(sd_event_source *source, void *userdata) {
        BlockService *service = userdata;
        BlockBatch batch;

        if (block_service_range_turn(service)) { /* its end wakes us */
                (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }

        switch (block_onliner_turn(&service->onliner, block_service_now(service), &batch)) {
        case BLOCK_TURN_MORE:
                return 0;
        case BLOCK_TURN_WRITE:
                block_service_wave_write(service);
                block_writer_start(service->writer, &batch);
                break;
        case BLOCK_TURN_IDLE:
                if (!service->onliner.writing)
                        block_service_wave_end(service);
                block_onliner_save(&service->onliner);
                break;
        case BLOCK_TURN_MAX:
                assert(false);
        }

        /* The end of a write wakes us; until then a retry that is due would only spin. */
        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
        if (!service->onliner.writing)
                block_service_arm_timer(service);
        return 0;
}

static void on_written(const BlockBatch *batch, void *userdata) {
        BlockService *service = userdata;

        block_onliner_written(&service->onliner, batch, block_service_now(service));
        block_service_wake(service);
}

static const BlockWriterHandlers writer_handlers = {.written = on_written, .ranged = block_service_ranged};

void block_service_rescan(BlockService *service) {
        int r;

        r = block_onliner_rescan(&service->onliner, block_service_now(service));
        if (r < 0)
                (void) log_warning_errno(r, "Cannot list memory blocks, trying again later: %m");
        service->rescan_at_usec = u64_add(block_service_now(service), service->rescan_usec);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        BlockService *service = userdata;

        if (service->rescan_at_usec <= block_service_now(service))
                block_service_rescan(service);
        if (!block_service_wave_rises(service))
                block_service_wake(
                        service); /* behind events that have come; arms the timer again when done */
        return 0;
}

static void on_hint(BlockHint hint, uint64_t number, void *userdata) {
        BlockService *service = userdata;
        int r;

        switch (hint) {
        case BLOCK_HINT_BLOCK:
                r = block_onliner_hint(&service->onliner, number, block_service_now(service));
                if (r < 0) { /* the slow timer will find it */
                        (void) log_debug_errno(r, "Cannot look at memory%llu: %m",
                                               (unsigned long long) number);
                        return;
                }
                if (block_service_wave_holds(service))
                        return;
                break;
        case BLOCK_HINT_RESCAN:
                block_service_rescan(service);
                break;
        case BLOCK_HINT_MAX:
                assert(false);
        }
        block_service_wake(service);
}

static int add_sources(BlockService *service) {
        int r;

        r = sd_event_add_defer(service->event, &service->work, on_work, service);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(service->work, "block-work");
        r = sd_event_source_set_priority(service->work, WORK_PRIORITY);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(service->work, SD_EVENT_OFF);
        if (r < 0)
                return r;

        r = sd_event_add_time(service->event, &service->timer, CLOCK_MONOTONIC, service->rescan_at_usec,
                              USEC_PER_MSEC, on_timer, service);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(service->timer, "block-timer");
        return sd_event_source_set_priority(service->timer, WORK_PRIORITY);
}

int block_service_new(sd_event *event, const RootDir *root, const BlockServiceConfig *config,
                      BlockServiceHandler handler, BlockRangeHandler range_handler, void *userdata,
                      BlockService **ret) {
        _cleanup_(block_service_freep) BlockService *service = NULL;
        int r;

        assert(event);
        assert(root);
        assert(config);
        assert(handler);
        assert(range_handler);
        assert(ret);

        service = calloc(1, sizeof(*service));
        if (!service)
                return -ENOMEM;
        service->event = sd_event_ref(event);
        service->range_handler = range_handler;
        service->userdata = userdata;
        service->onliner.survey.zoneinfo = PROCFILE_NULL;

        r = block_writer_new(event, root, WORK_PRIORITY, &writer_handlers, service, &service->writer);
        if (r < 0)
                return r;
        r = block_monitor_new(event, root, config->source,
                              config->buffer_bytes > 0 ? config->buffer_bytes : BLOCK_MONITOR_BUFFER_BYTES,
                              on_hint, service, &service->monitor);
        if (r < 0)
                service->uevents_error = -r;

        r = block_onliner_init(&service->onliner, root, config, handler, userdata,
                               block_service_now(service));
        if (r < 0)
                return r;
        block_onliner_foresee(&service->onliner);
        service->rescan_usec = config->rescan_usec > 0 ? config->rescan_usec : RESCAN_DEFAULT_USEC;
        service->rescan_at_usec = u64_add(block_service_now(service), service->rescan_usec);

        r = add_sources(service);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(service);
        return 0;
}

void block_service_start(BlockService *service) {
        assert(service);

        block_onliner_take_charge(&service->onliner);
        service->started = true;
        block_service_wake(service); /* for what was offline before */
}

BlockService *block_service_free(BlockService *service) {
        if (!service)
                return NULL;

        (void) sd_event_source_disable_unref(service->work);
        (void) sd_event_source_disable_unref(service->timer);
        (void) block_monitor_free(service->monitor);
        (void) block_writer_free(service->writer);
        block_onliner_done(&service->onliner);
        (void) sd_event_unref(service->event);
        free(service);
        return NULL;
}

void block_service_configure(BlockService *service, const BlockServiceConfig *config) {
        assert(service);
        assert(config);

        service->onliner.config = *config;
        if (service->started)
                block_onliner_take_charge(&service->onliner);
        service->rescan_usec = config->rescan_usec > 0 ? config->rescan_usec : RESCAN_DEFAULT_USEC;
        block_service_rescan(service); /* what was left offline may now be wanted */
        block_service_wake(service);
}

void block_service_want_kernel_zone(BlockService *service, bool wanted) {
        assert(service);
        service->onliner.survey.kernel_wanted = wanted;
        kernel_onliner_want_kernel_zone(&service->onliner.kernel, wanted);
}

uint64_t block_service_block_size_bytes(const BlockService *service) {
        assert(service);
        return service->onliner.survey.block_size_bytes;
}

void block_service_counts(const BlockService *service, unsigned *ret_online, unsigned *ret_offline) {
        assert(service);
        block_table_count(&service->onliner.table, ret_online, ret_offline);
}

int block_service_uevents_error(const BlockService *service) {
        assert(service);
        return service->uevents_error;
}

bool block_service_kernel_onlines(const BlockService *service) {
        assert(service);
        return service->onliner.kernel_onlines;
}
