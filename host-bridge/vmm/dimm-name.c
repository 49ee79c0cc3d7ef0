/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A name is all that tells a DIMM of ours from somebody else's, after a restart too: what we would not have written
 * ourselves ("memtide-dimm01", "memtide-dimm99") is nobody's to pull. Rejected: a lenient number, by strtoul().
 */

#include "host-bridge/vmm/dimm-name.h"

#include <string.h>

#include "common/macro.h"
#include "host-bridge/policy/memory-model.h"

unsigned dimm_name_number(const char *name) {
        unsigned number = 0;
        size_t n;

        if (!name || strncmp(name, DIMM_NAME_PREFIX, STRLEN(DIMM_NAME_PREFIX)) != 0)
                return MEMORY_MODEL_DIMMS_MAX;
        name += STRLEN(DIMM_NAME_PREFIX);
        n = strspn(name, "0123456789");
        if (n == 0 || n > 2 || name[n] != '\0' || (n > 1 && name[0] == '0'))
                return MEMORY_MODEL_DIMMS_MAX;
        for (size_t i = 0; i < n; i++)
                number = number * 10 + (unsigned) (name[i] - '0');
        return number < MEMORY_MODEL_DIMMS_MAX ? number : MEMORY_MODEL_DIMMS_MAX;
}
