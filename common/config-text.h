/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Is it text at all, and which word was meant? Inner part of config.c; pure. */

#include <stddef.h>

/*
 * Looks for what no configuration file has: NUL, control characters, broken UTF-8.
 * Returns NULL, or the first defect in words with its line (from 1).
 */
const char *config_text_defect(const char *text, size_t size, unsigned *ret_line);

/* At most so many typing errors make two words close. */
#define CONFIG_DISTANCE_CLOSE 2

/*
 * Letters to add, drop, change or swap with their neighbour to get from a to b, case aside.
 * Returns the number if the words are close and more like each other than not, else a larger one.
 */
unsigned config_distance(const char *a, const char *b);
