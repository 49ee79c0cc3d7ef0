/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Nothing is made per VM: a path is resolved to a snapshot when somebody asks for it. All of them at once are answered by
 * bus-listing.c; sd-bus, which has the manager of objects for the signals, would take 12 us for each in one go. Changes of
 * figures are not signalled, since each report changes some; who wants to follow them reads the metrics. VMs that come and go
 * are.
 */

#include "host-bridge/surfaces/bus-vms.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/bus-field.h"
#include "host-bridge/surfaces/bus.h"
#include "host-bridge/surfaces/fields.h"

struct BusVms {
        SnapshotSource source;
        VmSnapshot vm; /* the one that was found last */
        Field fields[FIELDS_MAX];
};

static int get_name(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *found, sd_bus_error *error) {
        const BusVms *vms = found;

        return sd_bus_message_append(reply, "s", vms->vm.name);
}

static int get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *found, sd_bus_error *error) {
        const BusVms *vms = found;

        return sd_bus_message_append(reply, "s", vm_state_to_string(vms->vm.state));
}

static int get_urgency(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *found, sd_bus_error *error) {
        const BusVms *vms = found;

        return sd_bus_message_append(reply, "s", urgency_to_string(vms->vm.urgency));
}

static int get_fields(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *found, sd_bus_error *error) {
        BusVms *vms = found;

        return bus_append_fields(reply, vms->fields, fields_of_vm(&vms->vm, vms->fields));
}

static const sd_bus_vtable vm_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_state, 0, 0),
        SD_BUS_PROPERTY("SizeBytes", "t", NULL, offsetof(BusVms, vm.size_bytes), 0),
        SD_BUS_PROPERTY("CommittedBytes", "t", NULL, offsetof(BusVms, vm.committed_bytes), 0),
        SD_BUS_PROPERTY("Urgency", "s", get_urgency, 0, 0),
        /* Only when it is asked for: of all VMs it is ListVms. */
        SD_BUS_PROPERTY("Fields", "a{sv}", get_fields, 0, SD_BUS_VTABLE_PROPERTY_EXPLICIT),
        SD_BUS_VTABLE_END,
};

/* From path to VM. Returns 1 with *ret_found, 0 if there is none, or -errno. */
static int find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *error) {
        _cleanup_free_ char *name = NULL;
        BusVms *vms = userdata;
        int r;

        r = sd_bus_path_decode(path, BUS_VM_PREFIX, &name);
        if (r <= 0 || !vms->source.vm_named(vms->source.userdata, name, &vms->vm))
                return r < 0 ? r : 0;
        *ret_found = vms;
        return 1;
}

static char **free_paths(char **paths) {
        for (char **path = paths; path && *path; path++)
                free(*path);
        free(paths);
        return NULL;
}

static int list(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        BusVms *vms = userdata;
        BridgeSnapshot bridge = {0};
        char **paths;
        int r = 0;

        vms->source.bridge(vms->source.userdata, &bridge);
        paths = calloc(bridge.n_vms + 1, sizeof(*paths));
        if (!paths)
                return -ENOMEM;
        for (size_t i = 0; r >= 0 && i < bridge.n_vms && vms->source.vm_at(vms->source.userdata, i, &vms->vm);
             i++)
                r = sd_bus_path_encode(BUS_VM_PREFIX, vms->vm.name, paths + i);
        if (r < 0) {
                (void) free_paths(paths);
                return r;
        }
        *ret_nodes = paths; /* sd-bus frees it */
        return 0;
}

int bus_vms_new(const SnapshotSource *source, BusVms **ret) {
        BusVms *vms = calloc(1, sizeof(*vms));

        assert(source);
        assert(ret);

        if (!vms)
                return -ENOMEM;
        vms->source = *source;
        *ret = vms;
        return 0;
}

BusVms *bus_vms_free(BusVms *vms) {
        free(vms);
        return NULL;
}

int bus_vms_serve(BusVms *vms, sd_bus *bus) {
        int r;

        assert(vms);
        assert(bus);

        r = sd_bus_add_fallback_vtable(bus, NULL, BUS_VM_PREFIX, BUS_VM_INTERFACE, vm_vtable, find, vms);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(bus, NULL, BUS_VM_PREFIX, list, vms);
        if (r >= 0)
                r = sd_bus_add_object_manager(bus, NULL, BUS_OBJECT_PATH);
        return r;
}

/* By the table above but for what is explicit; a test compares it with GetAll. */
int bus_vms_append(sd_bus_message *reply, const VmSnapshot *vm) {
        _cleanup_free_ char *path = NULL;
        int r;

        assert(reply);
        assert(vm);

        r = sd_bus_path_encode(BUS_VM_PREFIX, vm->name, &path);
        if (r < 0)
                return r;
        return sd_bus_message_append(reply, "{oa{sa{sv}}}", path, 4, "org.freedesktop.DBus.Peer", 0,
                                     "org.freedesktop.DBus.Introspectable", 0,
                                     "org.freedesktop.DBus.Properties", 0, BUS_VM_INTERFACE, 5, "Name", "s",
                                     vm->name, "State", "s", vm_state_to_string(vm->state), "SizeBytes", "t",
                                     vm->size_bytes, "CommittedBytes", "t", vm->committed_bytes, "Urgency",
                                     "s", urgency_to_string(vm->urgency));
}

int bus_vms_tell(sd_bus *bus, const char *vm, bool there) {
        _cleanup_free_ char *path = NULL;
        int r;

        assert(bus);
        assert(vm);

        r = sd_bus_path_encode(BUS_VM_PREFIX, vm, &path);
        if (r < 0)
                return r;
        return there ? sd_bus_emit_object_added(bus, path) : sd_bus_emit_object_removed(bus, path);
}
