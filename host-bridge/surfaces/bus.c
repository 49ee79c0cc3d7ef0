/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of org.memtide.Bridge1: each asks the source, or the record, and answers with its fields. */

#include "host-bridge/surfaces/bus.h"

#include <assert.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "common/bus-field.h"
#include "common/bus-server.h"
#include "common/log.h"
#include "common/system-bus.h"
#include "host-bridge/surfaces/bus-control.h"
#include "host-bridge/surfaces/bus-listing.h"
#include "host-bridge/surfaces/bus-views.h"
#include "host-bridge/surfaces/bus-vms.h"
#include "host-bridge/surfaces/fields.h"

struct Bus {
        SnapshotSource source;
        const Record *record;
        BusServer *server;
        SystemBus *system; /* or NULL */
        BusVms *vms;
        BusListing *listing;
        Audit *audit; /* or NULL */
        ConfigView config;
        const Control *control; /* or NULL */
        /* One answer at a time is put together here: too big for a stack. */
        Field fields[FIELDS_MAX];
        VmSnapshot vm;
        Decision decisions[BUS_DECISIONS_MAX];
};

static int method_get_bridge(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = userdata;
        BridgeSnapshot snapshot = {0};
        int r;

        r = sd_bus_message_new_method_return(call, &reply);
        if (r < 0)
                return r;
        bus->source.bridge(bus->source.userdata, &snapshot);
        r = bus_append_fields(reply, bus->fields, fields_of_bridge(&snapshot, bus->fields));
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list_vms(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;

        return bus_listing_answer(bus->listing, BUS_LISTING_VMS, call, error);
}

static int method_get_vm(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = userdata;
        const char *name;
        int r;

        r = sd_bus_message_read(call, "s", &name);
        if (r < 0)
                return r;
        if (!bus->source.vm_named(bus->source.userdata, name, &bus->vm))
                return sd_bus_error_setf(error, BUS_ERROR_NO_VM, "The bridge knows no VM '%s'.", name);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r < 0)
                return r;
        r = bus_append_fields(reply, bus->fields, fields_of_vm(&bus->vm, bus->fields));
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list_decisions(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = userdata;
        const char *name;
        uint32_t most;
        size_t n;
        int r;

        r = sd_bus_message_read(call, "su", &name, &most);
        if (r < 0)
                return r;
        /* Decisions outlive their VM, so only a name without any is asked for. */
        n = record_list(bus->record, *name ? name : NULL, bus->decisions, MIN_OF(most, BUS_DECISIONS_MAX));
        if (n == 0 && *name && !bus->source.vm_named(bus->source.userdata, name, &bus->vm))
                return sd_bus_error_setf(error, BUS_ERROR_NO_VM, "The bridge knows no VM '%s'.", name);

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = bus_append_fields(reply, bus->fields,
                                      fields_of_decision(bus->decisions + i, bus->fields));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list_history(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;
        const char *name;
        uint32_t most;
        int r;

        r = sd_bus_message_read(call, "su", &name, &most);
        if (r < 0)
                return r;
        return bus_answer_history(call, bus->audit, name, MIN_OF(most, BUS_DECISIONS_MAX), error);
}

static int method_diagnose(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Bus *bus = userdata;
        const char *name;
        int r;

        r = sd_bus_message_read(call, "s", &name);
        if (r < 0)
                return r;
        if (!*name)
                return bus_listing_answer(bus->listing, BUS_LISTING_LACKS, call, error);
        if (!bus->source.vm_named(bus->source.userdata, name, &bus->vm))
                return sd_bus_error_setf(error, BUS_ERROR_NO_VM, "The bridge knows no VM '%s'.", name);
        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r >= 0)
                r = bus_append_lacks(reply, &bus->vm, bus->fields);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list_config(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;

        return bus_answer_config(call, &bus->config);
}

static int method_plan_resize(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;

        return bus->control ? bus_answer_plan(call, bus->control, error) : -EOPNOTSUPP;
}

typedef int (*Change)(sd_bus_message *call, const Control *control, sd_bus_error *error);

static int change(sd_bus_message *call, const Bus *bus, Change what, sd_bus_error *error) {
        int r;

        r = bus->control ? bus_check_caller(call, error) : -EOPNOTSUPP;
        return r < 0 ? r : what(call, bus->control, error);
}

static int method_resize(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return change(call, userdata, bus_answer_resize, error);
}

static int method_hold(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return change(call, userdata, bus_answer_hold, error);
}

static int method_resume(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        return change(call, userdata, bus_answer_resume, error);
}

/* None asks sd-bus for a capability of the sender: it would wait for the bus daemon. See bus-control.c. */
static const sd_bus_vtable bus_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("GetBridge", "", "a{sv}", method_get_bridge, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListVms", "", "aa{sv}", method_list_vms, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetVm", "s", "a{sv}", method_get_vm, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListDecisions", "su", "aa{sv}", method_list_decisions, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListHistory", "su", "aa{sv}", method_list_history, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListConfig", "", "aa{sv}", method_list_config, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Diagnose", "s", "aa{sv}", method_diagnose, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("PlanResize", "st", "a{sv}aa{sv}", method_plan_resize, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Resize", "st", "a{sv}", method_resize, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Hold", "st", "", method_hold, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Resume", "s", "", method_resume, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL("DecisionChanged", "tssss", 0),
        SD_BUS_VTABLE_END,
};

/* Before sd-bus, which would ask for each VM in one go. */
static int on_call(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        Bus *bus = userdata;

        if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects") <=
                    0 ||
            strcmp(sd_bus_message_get_path(call), BUS_OBJECT_PATH) != 0 ||
            !sd_bus_message_has_signature(call, ""))
                return 0;
        return bus_listing_answer(bus->listing, BUS_LISTING_OBJECTS, call, error);
}

static int serve_vms(sd_bus *connection, void *userdata) {
        const Bus *bus = userdata;
        int r;

        r = bus_vms_serve(bus->vms, connection);
        return r < 0 ? r : sd_bus_add_filter(connection, NULL, on_call, userdata);
}

static BusObject object_of(Bus *bus) {
        return (BusObject){.path = BUS_OBJECT_PATH,
                           .interface = BUS_INTERFACE,
                           .vtable = bus_vtable,
                           .userdata = bus,
                           .extend = serve_vms};
}

int bus_new(sd_event *event, const char *socket_path, const SnapshotSource *source, const Record *record,
            Bus **ret) {
        _cleanup_(bus_freep) Bus *bus = NULL;
        BusObject object;
        int r;

        assert(event);
        assert(socket_path);
        assert(source && source->bridge && source->vm_at && source->vm_named);
        assert(record);
        assert(ret);

        bus = calloc(1, sizeof(*bus));
        if (!bus)
                return -ENOMEM;
        bus->source = *source;
        bus->record = record;

        r = bus_vms_new(source, &bus->vms);
        if (r >= 0)
                r = bus_listing_new(event, source, &bus->listing);
        if (r < 0)
                return r;
        object = object_of(bus);
        r = bus_server_new(event, socket_path, &object, &bus->server);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(bus);
        return 0;
}

void bus_set_views(Bus *bus, Audit *audit, const ConfigView *config) {
        assert(bus);
        assert(config);

        bus->audit = audit;
        bus->config = *config;
}

void bus_set_control(Bus *bus, const Control *control) {
        assert(bus);

        bus->control = control;
}

int bus_join(Bus *bus, sd_event *event, const char *socket_path) {
        BusObject object;

        assert(bus);
        assert(socket_path);

        object = object_of(bus);
        return system_bus_new(event, socket_path, &object, 1, &bus->system);
}

void bus_tell(Bus *bus, const Decision *decision) {
        assert(bus);
        assert(decision);

        bus_server_emit(bus->server, "DecisionChanged", "tssss", decision->id, decision->vm,
                        decision_kind_to_string(decision->kind), decision_rule_to_string(decision->rule),
                        decision_result_to_string(decision->result));
        if (bus->system)
                system_bus_emit(bus->system, 0, "DecisionChanged", "tssss", decision->id, decision->vm,
                                decision_kind_to_string(decision->kind),
                                decision_rule_to_string(decision->rule),
                                decision_result_to_string(decision->result));
}

typedef struct VmChange {
        const char *vm;
        bool there;
} VmChange;

static void tell_vm(sd_bus *connection, const void *what) {
        const VmChange *change = what;
        int r = bus_vms_tell(connection, change->vm, change->there);

        if (r < 0)
                (void) log_debug_errno(r, "A client is not told of VM %s: %m", change->vm);
}

void bus_tell_vm(Bus *bus, const char *vm, bool there) {
        const VmChange change = {vm, there};

        assert(bus);
        assert(vm);

        bus_server_visit(bus->server, tell_vm, &change);
        if (bus->system)
                system_bus_visit(bus->system, 0, tell_vm, &change);
}

Bus *bus_free(Bus *bus) {
        if (!bus)
                return NULL;
        (void) system_bus_free(bus->system);
        bus_server_free(bus->server);
        (void) bus_listing_free(bus->listing);
        (void) bus_vms_free(bus->vms);
        free(bus);
        return NULL;
}
