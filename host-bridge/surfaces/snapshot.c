/* SPDX-License-Identifier: Apache-2.0 */

/* Names of what surfaces show. The values themselves are filled by the bridge. */

#include "host-bridge/surfaces/snapshot.h"

#include "common/macro.h"

const char *vm_state_to_string(VmState state) {
        static const char *const names[VM_STATE_MAX] = {
                [VM_WAITING] = "waiting",   [VM_AGENTLESS] = "agentless", [VM_MONITORLESS] = "monitorless",
                [VM_OBSERVED] = "observed", [VM_MANAGED] = "managed",     [VM_PAUSED] = "paused",
        };

        return (unsigned) state < ELEMENTSOF(names) ? names[state] : "unknown";
}
