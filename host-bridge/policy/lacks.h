/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What keeps a VM's memory from following its need: from facts to a list, each item with what it means and what to do. Pure.
 * An operator is to learn it when the VM is attached, not from the resize that fails at night.
 */

#include <stdbool.h>
#include <stdint.h>

#include "host-bridge/policy/memory-model.h"

typedef enum Lack {
        LACK_MONITOR,
        LACK_AGENT,
        LACK_MAX,
        LACK_VIRTIO_MEM,
        LACK_ROOM,
        LACK_BALLOON,
        LACK_BALLOON_DRIVER,
        LACK_PSI,
        LACK_VFIO,
        LACK_LOCKED,
        LACK_HUGEPAGES,
        LACK_PREALLOCATED,
        LACK_DIMM_BLOCK,
        LACK_DIMM_PLUG,
        LACK_RIVAL,
        LACK_LEASED,
        LACK_OLD_QEMU,
        LACK_KIND_MAX,
} Lack;

typedef enum LackSeverity {
        LACK_NOTE,    /* as somebody may want it */
        LACK_WARNING, /* a part does not work, or not well */
        LACK_ERROR,   /* nothing works */
        LACK_SEVERITY_MAX,
} LackSeverity;

/* What the hypervisor's host side says; see vmm.h. */
typedef struct VmmFacts {
        bool known;
        unsigned qemu_major, qemu_minor;      /* 0.0: not known */
        unsigned n_vfio;                      /* devices that are passed through */
        bool preallocated;                    /* some memory backend */
        uint64_t locked_bytes, hugetlb_bytes; /* of its process; 0 also where that can not be read */
} VmmFacts;

typedef struct LackFacts {
        bool monitor, agent; /* it speaks */
        bool controlled;     /* Max= is given, and Mode= is not observed */
        uint64_t max_bytes;  /* of policy; UINT64_MAX: as far as its devices reach */
        bool leased;         /* another bridge resizes it */
        unsigned n_yields;   /* to somebody else who changes its memory */
        const MemoryModel *model;
        const VmmFacts *vmm;
        /* of the agent */
        uint64_t dimm_bytes; /* of policy: DIMMs of that size are wanted; 0: none */
        uint64_t capabilities, guest_block_bytes, plug_budget_bytes;
        bool psi_missing;
} LackFacts;

/* A bit per Lack. What is not known is not lacking. */
uint64_t lacks_judge(const LackFacts *facts);

static inline bool lacks_has(uint64_t lacks, Lack lack) {
        return (lacks & (UINT64_C(1) << lack)) != 0;
}

/* "no-room"; what that means; what to do. "" out of range. */
const char *lack_code(Lack lack);
const char *lack_text(Lack lack);
const char *lack_fix(Lack lack);
LackSeverity lack_severity(Lack lack);

/* "note", "warning", "error". */
const char *lack_severity_to_string(LackSeverity severity);
