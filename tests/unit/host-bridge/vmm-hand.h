/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The owner of a hypervisor's hand, who writes down what it is told. */

#include "world.h"

#include "host-bridge/vmm/vmm.h"

typedef struct Hand {
        Vmm *vmm;
        unsigned n[VMM_EVENT_KIND_MAX]; /* events of each kind */
        VmmEventKind order[64];         /* the first of them */
        unsigned n_events;
        MemoryModel model; /* the last */
        uint64_t accepted_id, rejected_id;
        char text[256]; /* the last words */
        bool frees;     /* it frees vmm inside the handler of free_at */
        VmmEventKind free_at;
} Hand;

/* A VmmHandler; userdata is the Hand. */
void hand_on_vmm(Vmm *vmm, const VmmEvent *event, void *userdata);

/* Conditions for world_run(), of a Hand. */
bool hand_has_model(void *hand);
bool hand_is_lost(void *hand);
bool hand_is_answered(void *hand); /* a command has its outcome */
bool hand_is_answered_twice(void *hand);
