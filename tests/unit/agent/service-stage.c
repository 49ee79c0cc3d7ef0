/* SPDX-License-Identifier: Apache-2.0 */

#include "service-stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/units.h"
#include "fake-kernel.h"

static void on_fate(const BlockFate *fate, void *userdata) {
        ServiceStage *stage = userdata;
        unsigned online, offline;

        block_service_counts(stage->service, &online, &offline); /* may be asked from here */
        stage->n_onlined += fate->action == BLOCK_ONLINED;
        stage->n_offlined += fate->action == BLOCK_OFFLINED;
        stage->n_failed += fate->action == BLOCK_FAILED;
        stage->n_removed += fate->action == BLOCK_REMOVED;
        stage->last_block = fate->block;
        stage->last_latency_usec = fate->latency_usec;
}

static void on_range(const BlockRangeResult *result, void *userdata) {
        ServiceStage *stage = userdata;

        stage->n_ranged++;
        stage->range = *result;
}

static void stage_start(ServiceStage *stage) {
        const BlockServiceConfig config = {.online = true,
                                           .onliner = ONLINER_AGENT,
                                           .zone_ratio_percent = 301,
                                           .source = BLOCK_MONITOR_KERNEL,
                                           .rescan_usec = stage->rescan_usec};

        assert_int_equal(block_service_new(stage->event, stage->tree->root, &config, on_fate, on_range, stage,
                                           &stage->service),
                         0);
        block_service_start(stage->service);
}

ServiceStage *service_stage_new(uint64_t rescan_usec) {
        ServiceStage *stage = calloc(1, sizeof(*stage));

        assert_non_null(stage);
        stage->rescan_usec = rescan_usec;
        stage->tree = tree_new("debian12-6.1");
        fake_kernel_reset(stage->tree);
        assert_int_equal(sd_event_new(&stage->event), 0);
        stage_start(stage);
        return stage;
}

void service_stage_restart(ServiceStage *stage) {
        stage->service = block_service_free(stage->service);
        stage_start(stage);
}

ServiceStage *service_stage_free(ServiceStage *stage) {
        if (!stage)
                return NULL;
        (void) block_service_free(stage->service);
        (void) sd_event_unref(stage->event);
        (void) tree_free(stage->tree);
        free(stage);
        return NULL;
}
void service_stage_run_until(ServiceStage *stage, const unsigned *counter, unsigned want) {
        uint64_t begin, now;

        assert_int_equal(sd_event_now(stage->event, CLOCK_MONOTONIC, &begin) < 0, 0);
        while (*counter < want) {
                assert_true(sd_event_run(stage->event, 100 * USEC_PER_MSEC) >= 0);
                (void) sd_event_now(stage->event, CLOCK_MONOTONIC, &now);
                assert_true(now < begin + PATIENCE_USEC);
        }
        assert_int_equal(*counter, want);
}

void service_stage_run_quiet(ServiceStage *stage, unsigned turns) {
        for (unsigned i = 0; i < turns; i++)
                assert_true(sd_event_run(stage->event, 2 * USEC_PER_MSEC) >= 0);
}
