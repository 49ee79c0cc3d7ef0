/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Thousands of VMs as a bridge sees them: an agent's channel and a QMP monitor each, scripted. Two processes, since one
 * may not have the descriptors: the agents' and the monitors'. What both need to know of a VM is in memory that they share.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/units.h"

#define FARM_BLOCK_BYTES     (2 * MIB)
#define FARM_VMS_MAX         20000U
#define FARM_LATENCIES_MAX   100000U
#define FARM_NAME_FORMAT     "vm%05u"
#define FARM_PROBE_BYTES     (128 * MIB)
#define FARM_SLOW_REPLY_USEC (5 * USEC_PER_SEC)

/* How a VM's agent behaves; see farm-agents.c. */
typedef enum AgentMode {
        AGENT_HONEST,    /* handshake, a report per interval, answers what it is asked */
        AGENT_SILENT,    /* handshake and nothing more */
        AGENT_FLOOD,     /* reports as fast as the socket takes them */
        AGENT_GARBAGE,   /* random bytes as fast as the socket takes them */
        AGENT_SLOWLORIS, /* a valid frame, a byte at a time */
        AGENT_FLAPPING,  /* closes as soon as it is connected */
        AGENT_MODE_MAX,
} AgentMode;

/* How its monitor behaves. */
typedef enum MonitorMode {
        MONITOR_OBEDIENT, /* as QEMU with a guest that has drivers */
        MONITOR_DEAD,     /* accepts and never says a word, as one that serves somebody else */
        MONITOR_HUNG,     /* greets, and answers nothing any more */
        MONITOR_SLOW,     /* answers after 5 s */
        MONITOR_STUCK,    /* takes each command, and the guest moves no block */
        MONITOR_MODE_MAX,
} MonitorMode;

/* One VM. Written by: c = control, a = agents, m = monitors. */
typedef struct FarmVm {
        _Atomic(int) agent_mode, monitor_mode; /* c */
        /* m: its memory */
        _Atomic(uint64_t) size_bytes, requested_bytes;   /* virtio-mem */
        _Atomic(uint64_t) balloon_bytes, balloon_target; /* inflated */
        _Atomic(uint64_t) accepted_usec;                 /* its monitor's client */
        /* a: what the last client of its channel knew when it left: a command of that one may still be on its way */
        _Atomic(uint64_t) left_usec, left_needy_usec, left_offered_bytes;
        /* a: what its agent has told */
        _Atomic(uint64_t) needy_usec; /* when it last said that it lacks memory; 0: never in this session */
        _Atomic(uint64_t) offered_bytes; /* may be taken; 0: nothing is offered */
        _Atomic(uint64_t) floor_bytes;   /* of the last report */
        _Atomic(uint64_t) base_bytes;    /* its size when it was asked to shrink: may be restored */
        _Atomic(uint64_t) probe_usec;    /* an alarm that has no answer yet; 0: none */
        _Atomic(unsigned) unserved;      /* reports in need since the last command that helped */
} FarmVm;

/* What is counted over all VMs. */
typedef struct FarmStats {
        _Atomic(uint64_t) sessions, connections, monitors;           /* open now, and connected ever */
        _Atomic(uint64_t) reports, alarms, confirms, blocked, bytes; /* sent; blocked: not taken */
        _Atomic(uint64_t) grows, shrinks, queries, refused;          /* commands received */
        _Atomic(uint64_t) wrong_grow, wrong_shrink, below_floor, over_budget; /* broken invariants */
        _Atomic(uint64_t) committed_bytes, committed_peak_bytes;
        _Atomic(uint64_t) unserved_peak; /* reports in need before a command came, the worst */
        _Atomic(unsigned) n_latencies;
} FarmStats;

typedef struct FarmOptions {
        const char *folder;
        unsigned n_vms;
        uint64_t boot_bytes, vmem_max_bytes, budget_bytes, interval_usec, work_usec;
        uint64_t seed;
} FarmOptions;

typedef struct Farm {
        FarmOptions options;
        FarmStats stats;
        _Atomic(unsigned) probes_per_sec, probe_first, probe_n; /* c */
        _Atomic(unsigned) mischief_begin, mischief_end; /* c: beyond these nobody does more than to report */
        _Atomic(bool) walks;                            /* c: demand changes at random */
        _Atomic(bool) eager; /* c: reports without a handshake, for a reader that speaks no protocol */
        uint32_t latencies_usec[FARM_LATENCIES_MAX]; /* from alarm to command; m */
        FarmVm vms[];
} Farm;

/* CLOCK_MONOTONIC. */
uint64_t farm_now(void);

/* Listens on <folder>/<name of VM i><suffix>. Ends the process when it can not. */
int farm_listen(const Farm *farm, unsigned i, const char *suffix);

/* What a guest has: boot - balloon + virtio-mem. */
uint64_t farm_usable_bytes(const Farm *farm, unsigned i);

/* The two halves; neither returns. moved_fd: VM numbers (uint32_t) whose size has changed, from monitors to agents. */
_Noreturn void farm_agents(Farm *farm, int moved_fd);
_Noreturn void farm_monitors(Farm *farm, int moved_fd);

/* Reads the commands of stdin that have come; the process ends at its end. */
void farm_control(Farm *farm);

/*
 * The invariants, held against each command as it arrives; broken ones are counted. step is the change of what is
 * asked for, before is the VM's size.
 */
void farm_check_grow(Farm *farm, unsigned i, uint64_t wanted_bytes);
void farm_check_shrink(Farm *farm, unsigned i, uint64_t wanted_bytes, uint64_t taken_bytes);
void farm_check_budget(Farm *farm, unsigned i, uint64_t committed_before);

/* All that the host has promised to VM i. */
uint64_t farm_committed_bytes(const Farm *farm, unsigned i);
