/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * memtide-agent replay: lets the pure cores decide again on what a recording (trace.h) says that they were given, prints
 * what they decided, and stops at the first decision that is not the recorded one.
 */

#include <stdbool.h>
#include <stdio.h>

/*
 * name: of the recording, for the lines. quiet: prints the end alone. Returns 0 if all is as recorded, 1 if something is decided
 * otherwise, -EBADMSG if it is no recording or rows are missing (which has been printed), or -errno.
 */
int replay_run(FILE *recording, const char *name, bool quiet, FILE *out);
