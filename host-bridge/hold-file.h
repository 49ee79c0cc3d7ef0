/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An operator's hold on a VM outlives the bridge: RUNTIME_DIR/holds/NAME, one line, "BOOT_ID UNTIL_USEC". It ends with
 * the boot, since its time is the monotonic clock's.
 */

#include <stdint.h>

/* Returns 0 or -errno; a file is there whole or as it was. until_usec: CLOCK_MONOTONIC, UINT64_MAX for ever. */
int hold_file_save(const char *runtime_dir, const char *vm, uint64_t until_usec);

/* No file is no error. Returns 0 or -errno. */
int hold_file_remove(const char *runtime_dir, const char *vm);

/* 0: none, of another boot, or not understood. */
uint64_t hold_file_load(const char *runtime_dir, const char *vm);
