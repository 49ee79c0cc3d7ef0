/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pressure stall information: the text of a pressure file (pure), and a trigger that wakes the loop. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "common/macro.h"
#include "common/rootdir.h"

typedef struct PsiTotals {
        uint64_t some_usec; /* total= since boot */
        uint64_t full_usec;
        bool has_full; /* /proc/pressure/cpu has none before Linux 5.13 */
} PsiTotals;

/*
 * Parses the text of a pressure file, strictly: each line at most once, avg10, avg60, avg300 and total once
 * each in any order, nothing else on a line. "some" must be there; a line of another name is refused.
 * Returns 0, or -EINVAL with *ret untouched.
 */
int psi_parse(const char *text, size_t size, PsiTotals *ret);

/* "some", 50 ms in 500 ms; or the same share of 2 s, the one window that needs no CAP_SYS_RESOURCE. */
#define PSI_TRIGGER_STALL_USEC               UINT64_C(50000)
#define PSI_TRIGGER_WINDOW_USEC              UINT64_C(500000)
#define PSI_TRIGGER_UNPRIVILEGED_STALL_USEC  UINT64_C(200000)
#define PSI_TRIGGER_UNPRIVILEGED_WINDOW_USEC UINT64_C(2000000)

typedef struct PsiTrigger PsiTrigger;

/*
 * error 0: the stall threshold was crossed within the last window (not: is still crossed; there is no
 * falling event, re-read the totals). error < 0: the trigger is dead and has disarmed itself.
 * The trigger may be freed inside.
 */
typedef void (*PsiTriggerHandler)(PsiTrigger *trigger, int error, void *userdata);

/*
 * Arms the trigger on proc/pressure/memory.
 * Returns 0, -ENOENT or -EOPNOTSUPP where the kernel has no PSI, or -errno.
 */
int psi_trigger_new(sd_event *event, const RootDir *root, PsiTriggerHandler handler, void *userdata,
                    PsiTrigger **ret);
PsiTrigger *psi_trigger_free(PsiTrigger *trigger);
DEFINE_CLEANUP_FUNC(PsiTrigger, psi_trigger_free)

/* The window that the kernel granted: one of the two above. */
uint64_t psi_trigger_window_usec(const PsiTrigger *trigger);
