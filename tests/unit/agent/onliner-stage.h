/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A machine whose blocks come and go, with an onliner on it, in virtual time. */

#include "agent/blocks/onliner.h"
#include "fake-kernel.h"

/* 512 MiB of kernel memory, nothing movable. */
#define ZONEINFO                                                                                             \
        "Node 0, zone   Normal\n  pages free     100000\n        present  131072\n        managed  120000\n"

typedef struct Stage {
        Tree *tree;
        BlockOnliner onliner;
        uint64_t now_usec;
        char fates[1024]; /* "seen 40 virtio-mem; onlined 40 movable; ..." */
} Stage;

extern const BlockServiceConfig stage_online_all;

/* Reads of memoryN/state, the fake kernel's own among them (linked with --wrap=rootdir_read_line). */
extern unsigned stage_n_state_reads;

/* Boot memory 0-3, and a virtio-mem device over 32-63 that has plugged nothing. */
Stage *stage_new(void);
Stage *stage_free(Stage *stage);
DEFINE_CLEANUP_FUNC(Stage, stage_free)

void stage_start(Stage *stage, const BlockServiceConfig *config);

/* The onliner ends, and another starts. */
void stage_restart(Stage *stage);

void stage_hint(Stage *stage, uint64_t number);
void stage_rescan(Stage *stage);

/* Carries out all turns and writes that are due. */
void stage_work(Stage *stage);

/* Works, and compares what was told since the last time. */
void stage_expect(Stage *stage, const char *fates);
void stage_assert_counts(Stage *stage, unsigned online, unsigned offline);
