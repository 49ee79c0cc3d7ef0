/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who this guest is and which facilities it lacks: what Hello says and Report does not. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rootdir.h"
#include "proto/message.h"

typedef struct Identity {
        char kernel_release[MESSAGE_STRING_MAX + 1];
        uint8_t boot_id[MESSAGE_BOOT_ID_SIZE];
        uint64_t page_size_bytes;
        MessageMissing missing[MESSAGE_MISSING_MAX];
        size_t n_missing;
} Identity;

/* Reads what there is; what there is not stays zero. */
void identity_read(const RootDir *root, Identity *ret);

/*
 * Notes that facility can not be used, because of error (positive errno); once per facility.
 * Returns true if that is news, so that it is logged once.
 */
bool identity_miss(Identity *identity, Facility facility, int error);

bool identity_misses(const Identity *identity, Facility facility);
