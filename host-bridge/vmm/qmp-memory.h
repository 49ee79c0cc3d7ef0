/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What QMP's queries say about memory, read into a MemoryModel. Pure: JSON in, values out. */

#include <jansson.h>
#include <stdbool.h>

#include "host-bridge/policy/memory-model.h"

/*
 * Each returns 0, or -EBADMSG for an answer that does not have the shape of QEMU's schema or holds a
 * negative or absurd size; model is then half filled and not to be used.
 */

/* query-memory-size-summary: boot RAM. */
int qmp_memory_read_summary(const json_t *value, MemoryModel *model);

/* qom-get of /machine's property "memory" (QEMU 7.1): slots for DIMMs and room up to maxmem, both before any device. */
int qmp_memory_read_machine(const json_t *value, MemoryModel *model);

/*
 * query-memory-devices: DIMMs, ours by their numbers, and virtio-mem, the latter in the order of their ids; what they use
 * is taken off model's slots and room. *ret_n_unusable counts virtio-mem devices that can not be addressed: without
 * an id, or beyond MEMORY_MODEL_DEVICES_MAX.
 */
int qmp_memory_read_devices(const json_t *value, MemoryModel *model, unsigned *ret_n_unusable);

/* query-balloon: its logical size. */
int qmp_memory_read_balloon(const json_t *value, MemoryModel *model);

/* query-status: true if the guest runs. An unknown shape counts as not running. */
bool qmp_memory_is_running(const json_t *value);

/* query-migrate: true while memory is on its way to another host. */
bool qmp_memory_is_migrating(const json_t *value);
