/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What one VM weighs beside the others: its class, its shares, and how much of its memory it really uses. Pure. */

#include <stdint.h>

#include "common/units.h"

/* The operator's word, from vm.d. The order is for zero-initialised policies; vm_class_rank() compares. */
typedef enum VmClass {
        VM_CLASS_NORMAL,
        VM_CLASS_CRITICAL,
        VM_CLASS_BATCH,
        VM_CLASS_MAX,
} VmClass;

#define VM_CLASS_RANKS 3U

extern const char *const vm_class_names[]; /* by VmClass, ends with NULL */

/* "normal", "critical", "batch". */
const char *vm_class_to_string(VmClass vm_class);

/* 0 batch, 1 normal, 2 critical: who comes first has the higher one. */
unsigned vm_class_rank(VmClass vm_class);

#define SHARES_DEFAULT UINT64_C(100)
#define SHARES_MAX     UINT64_C(10000)

/* How much of its memory a VM uses, smoothed over a minute. Embedded by the caller, zero-initialised: all of it. */
typedef struct Activity {
        uint64_t idle_ppm; /* 0: it uses all */
        uint64_t noted_usec;
} Activity;

/* Takes one report's figures. */
void activity_note(Activity *activity, uint64_t used_bytes, uint64_t usable_bytes, uint64_t now_usec);

/*
 * Weight in a water-filling: shares over f + 4 (1 - f), f the part in use, so that an idle page costs four times a
 * used one (ESX: a tax of 75 %). shares 0 is the default. At least 1, below 2^26.
 */
uint64_t share_weight(uint64_t shares, const Activity *activity);
