/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls of malloc(), calloc() and realloc() of this process and its libraries, since it began. */
unsigned long allocations_count(void);

/* From now on each call's stack goes to stderr, as addresses for addr2line(1): to find whose it is. */
void allocations_show(void);
