/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Off the sampling path: what is to be told is noted in the struct, and a deferred event source of the lowest
 * priority tells it, so that the frame to the host has gone first. A message of D-Bus is allocated, and under
 * pressure that can take as long as the kernel likes; with nobody listening, none is made.
 *
 * The levels of LowMemoryWarning are those of GLib's GMemoryMonitorWarningLevel: 50 low, 100 medium, 255 critical.
 * It is said when urgency rises and not again while it stays, as low-memory-monitor does.
 */

#include "agent/bus.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>

#include "common/bus-agent.h"
#include "common/bus-field.h"
#include "common/bus-server.h"
#include "common/log.h"
#include "common/system-bus.h"

#define LOW_MEMORY_PATH      "/org/freedesktop/LowMemoryMonitor"
#define LOW_MEMORY_INTERFACE "org.freedesktop.LowMemoryMonitor"

/* Index of each object on the system bus. */
enum {
        OBJECT_AGENT,
        OBJECT_LOW_MEMORY,
        OBJECT_MAX,
};

/* A signal that waits to be told. */
typedef struct Notice {
        bool due;
        uint64_t bytes, id;
} Notice;

struct Bus {
        const BusSource *source;
        void *userdata;
        BusServer *server; /* NULL: no socket */
        SystemBus *system; /* NULL: it cannot be looked for */
        sd_event_source *tell;
        Notice shrink_prepare, grown;
        uint8_t low_memory_level; /* 0: nothing to tell */
        uint64_t low_memory_bytes;
};

static int method_get_status(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ Field *fields = NULL;
        _cleanup_free_ Status *status = NULL;
        const Bus *bus = userdata;
        int r;

        fields = calloc(STATUS_FIELDS_MAX, sizeof(*fields));
        status = calloc(1, sizeof(*status));
        if (!fields || !status)
                return -ENOMEM;
        bus->source->status(status, bus->userdata);

        r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = bus_append_fields(reply, fields, fields_of_status(status, fields));
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_list_events(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ Field *fields = NULL;
        const Bus *bus = userdata;
        const HistoryEntry *entry;
        uint32_t most;
        int r;

        fields = calloc(STATUS_FIELDS_MAX, sizeof(*fields));
        if (!fields)
                return -ENOMEM;
        r = sd_bus_message_read(call, "u", &most);
        if (r >= 0)
                r = sd_bus_message_new_method_return(call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t i = 0; r >= 0 && i < most && (entry = history_at(bus->source->history, i)); i++)
                r = bus_append_fields(reply, fields, fields_of_history(entry, fields));
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static const sd_bus_vtable agent_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("GetStatus", "", "a{sv}", method_get_status, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListEvents", "u", "aa{sv}", method_list_events, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL("ShrinkPrepare", "tt", 0),
        SD_BUS_SIGNAL("Grown", "tt", 0),
        SD_BUS_SIGNAL("LowMemory", "yt", 0),
        SD_BUS_VTABLE_END,
};

static const sd_bus_vtable low_memory_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_SIGNAL("LowMemoryWarning", "y", 0),
        SD_BUS_VTABLE_END,
};

static void tell_notice(Bus *bus, const char *member, Notice *notice) {
        if (!notice->due)
                return;
        notice->due = false;
        if (bus->server)
                bus_server_emit(bus->server, member, "tt", notice->bytes, notice->id);
        if (bus->system)
                system_bus_emit(bus->system, OBJECT_AGENT, member, "tt", notice->bytes, notice->id);
}

static void tell_low_memory(Bus *bus) {
        int level = bus->low_memory_level;

        if (level == 0)
                return;
        bus->low_memory_level = 0;
        if (bus->server)
                bus_server_emit(bus->server, "LowMemory", "yt", level, bus->low_memory_bytes);
        if (!bus->system)
                return;
        system_bus_emit(bus->system, OBJECT_AGENT, "LowMemory", "yt", level, bus->low_memory_bytes);
        system_bus_emit(bus->system, OBJECT_LOW_MEMORY, "LowMemoryWarning", "y", level);
}

static int on_tell(sd_event_source *source, void *userdata) {
        Bus *bus = userdata;

        tell_notice(bus, "ShrinkPrepare", &bus->shrink_prepare);
        tell_notice(bus, "Grown", &bus->grown);
        tell_low_memory(bus);
        return 0;
}

static void bus_wake(Bus *bus) {
        int r;

        r = sd_event_source_set_enabled(bus->tell, SD_EVENT_ONESHOT);
        if (r < 0)
                log_debug_errno(r, "A signal was not told: %m");
}

void bus_shrink_prepare(Bus *bus, uint64_t bytes, uint64_t id) {
        assert(bus);

        bus->shrink_prepare = (Notice){.due = true, .bytes = bytes, .id = id};
        bus_wake(bus);
}

void bus_grown(Bus *bus, uint64_t bytes, uint64_t id) {
        assert(bus);

        bus->grown = (Notice){.due = true, .bytes = bytes, .id = id};
        bus_wake(bus);
}

void bus_low_memory(Bus *bus, Urgency urgency, uint64_t need_bytes) {
        static const uint8_t levels[] = {
                [URGENCY_NONE] = 0,
                [URGENCY_LOW] = 50,
                [URGENCY_HIGH] = 100,
                [URGENCY_CRITICAL] = 255,
        };

        assert(bus);
        assert((size_t) urgency < ELEMENTSOF(levels));

        bus->low_memory_level = levels[urgency];
        bus->low_memory_bytes = need_bytes;
        bus_wake(bus);
}

static int make_folder(const RootDir *root) {
        _cleanup_close_ int fd = -EBADF;

        fd = rootdir_open(root, "run", O_PATH | O_DIRECTORY);
        if (fd < 0)
                return fd;
        return mkdirat(fd, "memtide", 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* A socket is bound by its path, and not below a descriptor: the root's own path goes before it. */
static int path_below(const RootDir *root, const char *name, char **ret) {
        const char *path = rootdir_path(root);

        return asprintf(ret, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name) < 0 ? -ENOMEM
                                                                                                 : 0;
}

static int bus_serve(Bus *bus, sd_event *event, const RootDir *root) {
        _cleanup_free_ char *path = NULL;
        BusObject object = {AGENT_BUS_PATH, AGENT_BUS_INTERFACE, agent_vtable, bus};
        int r;

        r = make_folder(root);
        if (r >= 0)
                r = path_below(root, BUS_SOCKET, &path);
        return r < 0 ? r : bus_server_new(event, path, &object, &bus->server);
}

static int bus_look_for_system(Bus *bus, sd_event *event, const RootDir *root) {
        _cleanup_free_ char *path = NULL;
        const BusObject objects[] = {
                [OBJECT_AGENT] = {AGENT_BUS_PATH, AGENT_BUS_INTERFACE, agent_vtable, bus},
                [OBJECT_LOW_MEMORY] = {LOW_MEMORY_PATH, LOW_MEMORY_INTERFACE, low_memory_vtable, bus},
        };
        int r;

        r = path_below(root, BUS_SYSTEM_SOCKET, &path);
        return r < 0 ? r : system_bus_new(event, path, objects, OBJECT_MAX, &bus->system);
}

int bus_new(sd_event *event, const RootDir *root, const BusSource *source, void *userdata, Bus **ret,
            int *ret_socket_error) {
        _cleanup_(bus_freep) Bus *bus = NULL;
        int r;

        assert(event);
        assert(root);
        assert(source && source->status && source->history);
        assert(ret);
        assert(ret_socket_error);

        bus = calloc(1, sizeof(*bus));
        if (!bus)
                return -ENOMEM;
        bus->source = source;
        bus->userdata = userdata;

        r = sd_event_add_defer(event, &bus->tell, on_tell, bus);
        if (r >= 0)
                r = sd_event_source_set_priority(bus->tell, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(bus->tell, SD_EVENT_OFF);
        if (r >= 0)
                r = bus_look_for_system(bus, event, root);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(bus->tell, "tell-applications");

        *ret_socket_error = bus_serve(bus, event, root);
        *ret = TAKE_PTR(bus);
        return 0;
}

Bus *bus_free(Bus *bus) {
        if (!bus)
                return NULL;
        sd_event_source_disable_unref(bus->tell);
        bus_server_free(bus->server);
        system_bus_free(bus->system);
        free(bus);
        return NULL;
}
