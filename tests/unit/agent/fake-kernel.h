/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Answers writes to memoryN/state in a tree of plain files as Linux 6.1 does (the program is linked with
 * --wrap=rootdir_write): EINVAL for what is online already, else the state changes and valid_zones with it.
 */

#include <stdbool.h>

#include "tree.h"

#define FAKE_ERRORS_MAX 8U

typedef struct FakeKernel {
        Tree *tree;
        unsigned n_writes;
        char last_path[128], last_text[32];
        int errors[FAKE_ERRORS_MAX]; /* of the next writes, in order; 0 = none */
        unsigned next_error;
        unsigned pinned;                        /* this block does not go offline: EBUSY; 0 = none */
        bool hangs;                             /* and not even that, until a signal comes */
        bool no_movable;                        /* "online_movable" gives EINVAL */
        void (*before_write)(const char *path); /* a race */
} FakeKernel;

extern FakeKernel fake_kernel;

/* Starts anew on tree. */
void fake_kernel_reset(Tree *tree);

/* Adds memoryN, offline, as the kernel would; dimm may be NULL ("PNP0C80:00" else). */
void fake_kernel_add_block(unsigned number, const char *dimm);
void fake_kernel_remove_block(unsigned number);
void fake_kernel_set_state(unsigned number, const char *state, const char *zones);

/* An /proc/iomem with a virtio-mem device over blocks first..last, and its memory in the first. */
void fake_kernel_virtio_mem(unsigned first, unsigned last);
