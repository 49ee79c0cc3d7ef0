/* SPDX-License-Identifier: Apache-2.0 */

/* What operators ask for, by VM name. A hold is kept in a file, so that an upgrade of the bridge does not end it. */

#include <assert.h>
#include <errno.h>

#include "common/log.h"
#include "common/parse.h"
#include "host-bridge/bridge-internal.h"
#include "host-bridge/hold-file.h"
#include "host-bridge/surfaces/messages.h"

static int control_resize(void *userdata, const char *vm, uint64_t target_bytes, bool forecast,
                          ControlPlan *ret) {
        VmEntry *entry = bridge_find(userdata, vm);

        return entry ? vm_operator_resize(entry->vm, target_bytes, forecast, ret) : -ENOENT;
}

static uint64_t until(const Bridge *bridge, uint64_t usec) {
        return usec == UINT64_MAX ? USEC_INFINITY : u64_add(bridge_now(bridge), usec);
}

static int control_hold(void *userdata, const char *vm, uint64_t usec) {
        Bridge *bridge = userdata;
        VmEntry *entry = bridge_find(bridge, vm);
        char text[FORMAT_TIMESPAN_MAX];
        uint64_t until_usec;
        int r;

        if (!entry)
                return -ENOENT;
        until_usec = until(bridge, usec);
        vm_operator_hold(entry->vm, until_usec);
        log_event(LOG_NOTICE, MESSAGE_ID_HELD, &(LogField){"VM_NAME", vm}, 1,
                  "VM %s: held by an operator %s%s", vm, usec == UINT64_MAX ? "until it is resumed" : "for ",
                  usec == UINT64_MAX ? "" : format_timespan(text, usec));
        r = hold_file_save(bridge->runtime_dir, vm, until_usec);
        if (r < 0)
                (void) log_warning_errno(r, "VM %s: a restart of the bridge will end the hold: %m", vm);
        return 0;
}

static int control_resume(void *userdata, const char *vm) {
        Bridge *bridge = userdata;
        VmEntry *entry = bridge_find(bridge, vm);
        int r;

        if (!entry)
                return -ENOENT;
        vm_operator_resume(entry->vm);
        log_event(LOG_NOTICE, MESSAGE_ID_HELD, &(LogField){"VM_NAME", vm}, 1, "VM %s: resumed by an operator",
                  vm);
        r = hold_file_remove(bridge->runtime_dir, vm);
        if (r < 0)
                (void) log_warning_errno(r, "VM %s: a restart of the bridge will hold it again: %m", vm);
        return 0;
}

void bridge_restore(const Bridge *bridge, VmEntry *entry) {
        uint64_t until_usec = hold_file_load(bridge->runtime_dir, vm_name(entry->vm));

        if (until_usec <= until(bridge, 0))
                return;
        vm_operator_hold(entry->vm, until_usec);
        log_notice("VM %s: still held by an operator", vm_name(entry->vm));
}

void bridge_fill_control(Bridge *bridge) {
        bridge->control = (Control){
                .userdata = bridge,
                .resize = control_resize,
                .hold = control_hold,
                .resume = control_resume,
        };
}

const Control *bridge_control(const Bridge *bridge) {
        assert(bridge);

        return &bridge->control;
}
