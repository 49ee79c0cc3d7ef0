/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Calls of malloc(), calloc() and realloc() of this process and its libraries, since it began. */
unsigned long allocations_count(void);
