/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* Lets go of memory and code that only the start has used. What is needed again comes back by itself. */
void forget_start(void);

/*
 * The same in pieces, for a loop that is not to stand still: what is free of the heap, which takes the longer the more has
 * become free since the last time, and the code of the nth object of the process. Returns false if there is no such object.
 */
void forget_heap(void);
bool forget_code(unsigned nth);
