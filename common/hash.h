/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#define HASH_EMPTY UINT64_C(0xcbf29ce484222325)

/*
 * FNV-1a, 64 bits, of what came before and of a text with its NUL: for telling texts from each other that are not
 * worth keeping, and not against somebody who looks for two that are the same. hash: HASH_EMPTY for the first.
 */
uint64_t hash_text(uint64_t hash, const char *text);
