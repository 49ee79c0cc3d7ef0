/* SPDX-License-Identifier: Apache-2.0 */

/*
 * memtide-bridge: the start, the loop, the end. A clean end sends nothing to any VM: each keeps its size, and
 * the next bridge begins from what the hypervisors say.
 */

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "common/config.h"
#include "common/log.h"
#include "common/rootdir.h"
#include "host-bridge/bridge-config.h"
#include "host-bridge/bridge.h"
#include "host-bridge/guests/vm-config.h"
#include "host-bridge/options.h"
#include "host-bridge/runtime.h"
#include "host-bridge/surfaces/messages.h"
#include "host-bridge/surfaces/surfaces.h"

#define DEFAULT_POLICY_DIR "/etc/memtide/vm.d"
#define CONTROL_SOCKET     "bridge.sock"
#define AUDIT_FILE         "audit.sqlite"
#define DEFAULT_STATE_DIR  "/var/lib/memtide"
#define SYSTEM_BUS_SOCKET  "/run/dbus/system_bus_socket"

/* Options or configuration, as memtide-agent and memtidectl have it: starting again would change nothing. */
#define EXIT_USAGE 2

typedef struct Setup {
        Options options;
        RootDir *root;
        BridgeConfig config;
        ConfigOrigin origins[BRIDGE_CONFIG_KEYS];
        char config_file[4096]; /* absolute; empty: the usual places */
        char policy_dir[4096];  /* absolute */
} Setup;

static void setup_done(Setup *setup) {
        setup->root = rootdir_free(setup->root);
}

/* vm.d is beside the configuration: the two belong together, and a trial touches nothing of the system's. */
static int locate(Setup *setup) {
        _cleanup_free_ char *path = NULL;
        char *slash;

        (void) snprintf(setup->policy_dir, sizeof(setup->policy_dir), "%s", DEFAULT_POLICY_DIR);
        if (!setup->options.config_file)
                return 0;

        path = realpath(setup->options.config_file, NULL);
        if (!path)
                return log_error_errno(-errno, "%s: %m", setup->options.config_file);
        if (strlen(path) + STRLEN("/vm.d") >= sizeof(setup->policy_dir))
                return log_error_errno(-ENAMETOOLONG, "%s: %m", path);
        (void) snprintf(setup->config_file, sizeof(setup->config_file), "%s", path);
        slash = strrchr(path, '/');
        *slash = '\0';
        (void) snprintf(setup->policy_dir, sizeof(setup->policy_dir), "%s/vm.d", path);
        return 0;
}

static int read_config(const Setup *setup, BridgeConfig *config, ConfigOrigin *origins) {
        *config = bridge_config_defaults;
        memset(origins, 0, BRIDGE_CONFIG_KEYS * sizeof(*origins));
        return config_load(&bridge_config_table, setup->root,
                           setup->config_file[0] != '\0' ? setup->config_file : NULL, config, origins,
                           config_complain_to_log, NULL);
}

static int load(Setup *setup) {
        int r;

        r = rootdir_new("/", &setup->root);
        if (r < 0)
                return log_error_errno(r, "Could not open /: %m");
        r = locate(setup);
        if (r < 0)
                return r;

        r = read_config(setup, &setup->config, setup->origins);
        if (r < 0)
                return log_error_errno(r, "The configuration has errors: the bridge does not start");
        return 0;
}

/* --check and --dump-config. */
static int show(const Setup *setup) {
        VmConfig *configs = NULL;
        size_t n;
        int r;

        if (setup->options.dump_config)
                config_dump(&bridge_config_table, &setup->config, setup->origins, stdout);
        if (!setup->options.check)
                return 0;
        r = vm_config_load_folder(setup->root, setup->policy_dir, &configs, &n, config_complain_to_log, NULL);
        free(configs);
        if (r < 0)
                return log_error_errno(r, "%s has errors", setup->policy_dir);
        return 0;
}

typedef struct Running {
        Setup *setup;
        Bridge *bridge;
} Running;

/* All of it or nothing: half a configuration is one that nobody has written. */
static int reload(const Running *running) {
        ConfigOrigin origins[BRIDGE_CONFIG_KEYS];
        Setup *setup = running->setup;
        BridgeConfig config;
        int r;

        r = read_config(setup, &config, origins);
        if (r >= 0)
                r = config_check_fixed(&bridge_config_table, &setup->config, &config, origins,
                                       config_complain_to_log, NULL);
        if (r >= 0)
                r = bridge_reload(running->bridge, &config);
        if (r < 0)
                return r;
        setup->config = config;
        memcpy(setup->origins, origins, sizeof(origins));
        return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        int r;

        (void) sd_notify(false, "RELOADING=1");
        r = reload(userdata);
        if (r < 0)
                log_event(LOG_ERR, MESSAGE_ID_RELOAD_REFUSED, NULL, 0,
                          "The configuration has errors: nothing of it was read, all stays as it was");
        else
                log_notice("The configuration was read again");
        (void) sd_notify(false, r < 0 ? "READY=1\nSTATUS=Serving; the last reload was refused"
                                      : "READY=1\nSTATUS=Serving");
        return 0;
}

/* Thousands of VMs have two sockets each; the default of 1024 is for programs that use select(). */
static void raise_descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                (void) log_debug_errno(-errno, "Could not raise the limit of open files: %m");
}

static int prepare_loop(sd_event *event) {
        sigset_t hup;
        int r;

        /* SIGHUP is blocked for its own source, which is added once there is a bridge to reload. */
        (void) sigemptyset(&hup);
        (void) sigaddset(&hup, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &hup, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return -errno;
        r = sd_event_set_signal_exit(event, true);
        if (r < 0)
                return r;
        return sd_event_set_watchdog(event, true);
}

/* A trial with a runtime folder of its own leaves nothing elsewhere. NULL: off. */
static const char *audit_path(const Setup *setup, char *buffer, size_t size) {
        const char *file = setup->config.audit_file, *dir = setup->options.runtime_dir;

        if (strcmp(file, BRIDGE_FILE_OFF) == 0)
                return NULL;
        if (strcmp(file, BRIDGE_FILE_AUTO) == 0)
                (void) snprintf(buffer, size, "%s/" AUDIT_FILE,
                                strcmp(dir, DEFAULT_RUNTIME_DIR) == 0 ? DEFAULT_STATE_DIR : dir);
        else
                (void) snprintf(buffer, size, "%s", file);
        return buffer;
}

/* A trial with a runtime folder of its own does not appear on the host's bus. NULL: off. */
static const char *system_bus_path(const Setup *setup) {
        const char *path = setup->config.system_bus;

        if (strcmp(path, BRIDGE_FILE_OFF) == 0)
                return NULL;
        if (strcmp(path, BRIDGE_FILE_AUTO) == 0)
                return strcmp(setup->options.runtime_dir, DEFAULT_RUNTIME_DIR) == 0 ? SYSTEM_BUS_SOCKET
                                                                                    : NULL;
        return path;
}

static int open_surfaces(sd_event *event, const Setup *setup, FdStore *fd_store, const Bridge *bridge,
                         Surfaces **ret) {
        char socket_path[4096], audit[4096];

        (void) snprintf(socket_path, sizeof(socket_path), "%s/" CONTROL_SOCKET, setup->options.runtime_dir);
        return surfaces_new(event,
                            &(SurfacesOptions){
                                    .socket_path = socket_path,
                                    .system_bus = system_bus_path(setup),
                                    .metrics_listen = setup->config.metrics_listen,
                                    .metrics_fd = fd_store_take_metrics(fd_store),
                                    .audit_path = audit_path(setup, audit, sizeof(audit)),
                                    .config = {&bridge_config_table, &setup->config, setup->origins},
                                    .control = bridge_control(bridge),
                            },
                            bridge_snapshots(bridge), bridge_record(bridge), ret);
}

static int serve(sd_event *event, Setup *setup) {
        _cleanup_(fd_store_freep) FdStore *fd_store = NULL;
        _cleanup_(bridge_freep) Bridge *bridge = NULL;
        _cleanup_(surfaces_freep) Surfaces *surfaces = NULL;
        Running running = {.setup = setup};
        int r;

        r = fd_store_new(&fd_store);
        if (r < 0)
                return log_error_errno(r, "Could not look at what the service manager hands over: %m");
        r = bridge_new(event,
                       &(BridgeOptions){
                               .root = setup->root,
                               .runtime_dir = setup->options.runtime_dir,
                               .lease_dir = setup->options.lease_dir,
                               .policy_dir = setup->policy_dir,
                               .adopt = setup->options.adopt,
                               .fd_store = fd_store,
                               .config = setup->config,
                       },
                       &bridge);
        if (r < 0)
                return log_error_errno(r, "Could not set up: %m");
        r = open_surfaces(event, setup, fd_store, bridge, &surfaces);
        if (r < 0)
                return r;
        bridge_watch_vms(bridge, surfaces_tell_vm, surfaces);
        running.bridge = bridge;
        r = sd_event_add_signal(event, NULL, SIGHUP, on_reload, &running);
        if (r < 0)
                return log_error_errno(r, "Could not watch for SIGHUP: %m");

        (void) sd_notify(false, "READY=1\nSTATUS=Serving");
        log_info("memtide-bridge %s serves %s/vms%s", MEMTIDE_VERSION, setup->options.runtime_dir,
                 setup->options.adopt ? " and adopts every VM" : "");
        r = sd_event_loop(event);
        (void) sd_notify(false, "STOPPING=1");
        if (r < 0)
                return log_error_errno(r, "The event loop failed: %m");
        log_info("Ends; every VM keeps its size");
        return 0;
}

static void unref_event(sd_event **event) {
        (void) sd_event_unref(*event);
}

static int run(Setup *setup) {
        _cleanup_(unref_event) sd_event *event = NULL;
        _cleanup_close_ int lock = -EBADF;
        int r;

        r = runtime_prepare(setup->options.runtime_dir);
        if (r < 0)
                return log_error_errno(r, "Could not prepare %s: %m", setup->options.runtime_dir);
        lock = runtime_lock(setup->options.runtime_dir);
        if (lock == -EBUSY)
                return lock;
        if (lock < 0)
                return log_error_errno(lock, "Could not lock %s: %m", setup->options.runtime_dir);

        raise_descriptor_limit();
        r = sd_event_default(&event);
        if (r >= 0)
                r = prepare_loop(event);
        if (r < 0)
                return log_error_errno(r, "Could not set up the event loop: %m");
        return serve(event, setup);
}

int main(int argc, char *argv[]) {
        _cleanup_(setup_done) Setup setup = {};
        int r;

        /* Fixed, or it rises with the first large array that is freed, and the next ones tear holes into the heap. */
        (void) mallopt(M_MMAP_THRESHOLD, 128 * 1024);
        r = options_parse(argc, argv, &setup.options);
        if (r <= 0)
                return r < 0 ? EXIT_USAGE : EXIT_SUCCESS;
        log_setup(setup.options.log_target, setup.options.log_level);

        if (load(&setup) < 0)
                return EXIT_USAGE;
        if (setup.options.check || setup.options.dump_config)
                return show(&setup) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
        return run(&setup) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
