/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* memtide-agent doctor: what this guest has and lacks for its memory to follow its need, each with the fix. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/policy/onlining.h"
#include "common/rootdir.h"

typedef enum DoctorVerdict {
        DOCTOR_OK,
        DOCTOR_ADVICE, /* works, and could work better */
        DOCTOR_LACKS,  /* a function of the agent is missing or blind */
        DOCTOR_VERDICT_MAX,
} DoctorVerdict;

typedef struct Finding {
        DoctorVerdict verdict;
        char text[160];
        const char *fix; /* NULL: none is needed */
} Finding;

typedef struct DoctorOptions {
        const char *port_path; /* NULL: found by name */
        uint64_t ratio_percent;
        bool online; /* of the configuration, as the next two */
        Onliner onliner;
        ZonePolicy zone_policy;
        bool json;
} DoctorOptions;

/* Prints one line per check, or one JSON array. Returns 0 if nothing is lacking, else 1. */
int doctor_run(const RootDir *root, const DoctorOptions *options, FILE *out);
