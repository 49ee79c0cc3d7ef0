/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The checks of doctor-checks.c, for doctor.c, which tells what they found. No other file includes this. */

#include <stddef.h>
#include <stdint.h>

#include "agent/doctor.h"
#include "agent/policy/snapshot.h"
#include "agent/signals/sampler.h"

/* What each check is given. */
typedef struct Patient {
        const RootDir *root;
        const DoctorOptions *options;
        uint64_t capabilities;
        const MissingFacility *missing;
        size_t n_missing;
        Snapshot snapshot;
} Patient;

typedef struct DoctorCheck {
        const char *name;
        void (*check)(const Patient *patient, Finding *ret);
} DoctorCheck;
extern const DoctorCheck doctor_checks[];
extern const size_t doctor_n_checks;
