/* SPDX-License-Identifier: Apache-2.0 */

/* Names of what surfaces show. The values themselves are filled by the bridge. */

#include "host-bridge/surfaces/snapshot.h"

#include "common/macro.h"

const char *vm_state_to_string(VmState state) {
        static const char *const names[VM_STATE_MAX] = {
                [VM_WAITING] = "waiting",   [VM_AGENTLESS] = "agentless", [VM_MONITORLESS] = "monitorless",
                [VM_OBSERVED] = "observed", [VM_SHADOW] = "shadow",       [VM_MANAGED] = "managed",
                [VM_PAUSED] = "paused",
        };

        return (unsigned) state < ELEMENTSOF(names) ? names[state] : "unknown";
}

const char *const vm_mode_names[] = {
        [VM_MODE_DEFAULT] = "default",   [VM_MODE_MANAGED] = "managed", [VM_MODE_SHADOW] = "shadow",
        [VM_MODE_OBSERVED] = "observed", [VM_MODE_MAX] = NULL,
};

const char *vm_mode_to_string(VmMode mode) {
        return (unsigned) mode < VM_MODE_MAX ? vm_mode_names[mode] : "unknown";
}
