/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One VM between a real session, whose agent is scripted, and a scripted hypervisor. */

#include "world.h"

#include "common/units.h"
#include "host-bridge/guests/vm.h"

#define COMMANDS_MAX 64U

typedef struct Hypervisor {
        Vmm vmm; /* first */
        MemoryModel model;
        unsigned n_commands, n_refreshes;
        PlanStep commands[COMMANDS_MAX];
        uint64_t ids[COMMANDS_MAX];
        int fails;       /* -errno of command(), 0 = works */
        bool told_model; /* a refresh is answered */
        sd_event_source *defer;
} Hypervisor;

typedef struct Fixture {
        World world;
        AgentPeer agent;
        Ledger ledger;
        VmEnv env;
        Hypervisor hypervisor;
        Vm *vm;
        uint64_t ids;
        unsigned n_records;
        Decision records[256];
        unsigned
                commands_at_record; /* commands that had been sent when the newest new decision was recorded */
} Fixture;

/* As --adopt has it. */
extern const VmPolicy adopted;

int setup(void **state);
int teardown(void **state);

/* Agent and monitor speak. */
void start(Fixture *f, const VmPolicy *policy);
/* The hypervisor speaks. */
void tell(Hypervisor *h, VmmEventKind kind, uint64_t id);
/* What was asked of virtio-mem or the balloon has been done. */
void fulfil(Fixture *f);
/* The decision that was recorded last. */
const Decision *newest(const Fixture *f);
uint64_t usable(const Fixture *f);
/* From the agent; processed on return. */
void send(Fixture *f, Message message);
Message report_of(const Fixture *f, uint64_t available, int64_t need, Urgency urgency);
void send_alarm(Fixture *f, int64_t need);
void send_confirm(Fixture *f, unsigned step, int64_t delta);
void send_offer(Fixture *f);
/* To be called before start(). */
void grown_by_1gib(Fixture *f);
/* Calm with a surplus until a shrink is asked for. */
void shrink_begins(Fixture *f);
/* A shrink whose first step has been accepted. */
void step_in_flight(Fixture *f);
