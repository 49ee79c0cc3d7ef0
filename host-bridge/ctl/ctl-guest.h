/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* memtidectl inside of a guest: the verbs that ask this guest's own agent. */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct CtlGuest {
        const char *socket;
        bool json;
        bool once;      /* on: end after the first event */
        uint32_t lines; /* status: so many events */
} CtlGuest;

void ctl_guest_help(FILE *out);

/* NULL if words (the verb, then its arguments) are a right use, else what is wrong. */
const char *ctl_guest_complaint(int n, char *words[]);

/* Complains on stderr. Returns 0 or -errno. */
int ctl_guest_run(const CtlGuest *guest, int n, char *words[]);
