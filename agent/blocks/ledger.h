/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Remembers over a restart of the agent which blocks somebody took offline, an administrator or the host: they look like
 * any block that is still to be onlined. One file, good for one boot.
 */

#include <stddef.h>

#include "agent/blocks/table.h"
#include "common/rootdir.h"

#define BLOCK_LEDGER_PATH "run/memtide/blocks"

/* Marks what the file names in the table. Returns 0, also without a file or with one of another boot, or -errno. */
int block_ledger_load(const RootDir *root, BlockTable *table);

/* Writes the file anew, or removes it if it would be empty. Returns 0 or -errno. */
int block_ledger_save(const RootDir *root, const BlockTable *table);

/*
 * Marks what text names, if its first line is boot_id. Pure. Returns 0, or -EINVAL for a text that
 * block_ledger_save() did not write (what stands before the fault is taken).
 */
int block_ledger_parse(const char *text, size_t size, const char *boot_id, BlockTable *table);
