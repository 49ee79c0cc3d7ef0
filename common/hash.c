/* SPDX-License-Identifier: Apache-2.0 */

#include "common/hash.h"

#define FNV_PRIME UINT64_C(0x100000001b3)

uint64_t hash_text(uint64_t hash, const char *text) {
        for (; *text != '\0'; text++)
                hash = (hash ^ (unsigned char) *text) * FNV_PRIME;
        return hash * FNV_PRIME;
}
