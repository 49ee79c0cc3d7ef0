/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Level-triggered: inotify only says that it is time to look, a slow round asks for a look anyhow, and each
 * look reads both folders whole. An event per file ("NAME.qmp appeared") was rejected: the queue overflows, sockets are
 * made before they listen, files are renamed over each other, and each of those is a case of its own then.
 *
 * A look at thousands of VMs goes in slices, between which the loop serves what has come; what changes during a look is found
 * by the next one. The slow round passes over a folder that is provably as it was.
 */

#include "host-bridge/guests/discovery.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/slices.h"
#include "common/units.h"
#include "host-bridge/guests/discovery-scan.h"

/* Folders change in bursts: look once, a moment later. */
#define SETTLE_USEC (20 * USEC_PER_MSEC)

#define PATH_SIZE 4096

#define WATCH_MASK (IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_ONLYDIR)

struct Discovery {
        const RootDir *root;
        char *vms_dir, *policy_dir;
        DiscoveryDefaults defaults;
        sd_event *event;
        sd_event_source *vms_watch, *policy_watch, *timer;
        bool policies_due;
        Slices slices;       /* of the look under way */
        DiscoveryScan *scan; /* NULL: none is */
        bool delivering;     /* all is known, and VMs are being delivered */
        bool again;          /* something changed since it began */
        FolderMark mark;     /* of the last look */
        VmConfig *configs;   /* sorted by name */
        size_t n_configs;
        DiscoveredVm *domains;
        size_t n_domains;
        DiscoveryHandler handler;
        void *userdata;
};

static int load_policies(Discovery *discovery) {
        VmConfig *configs = NULL;
        size_t n = 0;
        int r;

        r = vm_config_load_folder(discovery->root, discovery->policy_dir, &configs, &n,
                                  config_complain_to_log, NULL);
        if (r < 0) {
                free(configs);
                return r;
        }
        free(discovery->configs);
        discovery->configs = configs;
        discovery->n_configs = n;
        return 0;
}

static void abandon(Discovery *discovery) {
        discovery->scan = discovery_scan_free(discovery->scan);
        slices_abandon(&discovery->slices);
}

static void end(int r, void *userdata) {
        Discovery *discovery = userdata;

        if (r < 0)
                (void) log_warning_errno(r, "Could not look for VMs in %s: %m", discovery->vms_dir);
        discovery->mark = r < 0 ? (FolderMark){} : discovery_scan_mark(discovery->scan);
        abandon(discovery);
        if (discovery->again)
                discovery_rescan(discovery, false);
}

/* Reads a piece, or delivers a VM. Returns 1, 0 at the end, or -errno. */
static int proceed(uint64_t now_usec, void *userdata) {
        Discovery *discovery = userdata;
        const DiscoveredVm *vm;
        int r;

        if (!discovery->delivering) {
                r = discovery_scan_proceed(discovery->scan);
                if (r == 0) {
                        discovery->delivering = true;
                        discovery->handler(DISCOVERY_BEGINS, NULL, discovery->userdata);
                }
                return r < 0 ? r : 1;
        }
        vm = discovery_scan_next(discovery->scan);
        discovery->handler(vm ? DISCOVERY_VM : DISCOVERY_ENDS, vm, discovery->userdata);
        return vm != NULL;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Discovery *discovery = userdata;
        int r;

        if (discovery->policies_due) {
                discovery->policies_due = false;
                r = load_policies(discovery);
                if (r < 0)
                        (void) log_warning_errno(r, "%s: the policies stay as they were: %m",
                                                 discovery->policy_dir);
        }

        discovery->again = discovery->delivering = false;
        r = discovery_scan_new(
                &(DiscoverySources){
                        .vms_dir = discovery->vms_dir,
                        .configs = discovery->configs,
                        .n_configs = discovery->n_configs,
                        .domains = discovery->domains,
                        .n_domains = discovery->n_domains,
                        .defaults = discovery->defaults,
                },
                &discovery->scan);
        if (r < 0) {
                end(r, discovery);
                return 0;
        }
        slices_begin(&discovery->slices);
        slices_run(&discovery->slices);
        return 0;
}

static int on_vms_change(sd_event_source *source, const struct inotify_event *event, void *userdata) {
        discovery_rescan(userdata, false);
        return 0;
}

static int on_policy_change(sd_event_source *source, const struct inotify_event *event, void *userdata) {
        discovery_rescan(userdata, true);
        return 0;
}

static void policy_path(const Discovery *discovery, char path[static PATH_SIZE]) {
        (void) snprintf(path, PATH_SIZE, "%s/%s", rootdir_path(discovery->root),
                        discovery->policy_dir + strspn(discovery->policy_dir, "/"));
}

/* A folder that can not be watched (it does not exist yet, or the limit is reached) is still looked at in each round. */
static void watch(Discovery *discovery) {
        char path[PATH_SIZE];

        if (!discovery->vms_watch)
                (void) sd_event_add_inotify(discovery->event, &discovery->vms_watch, discovery->vms_dir,
                                            WATCH_MASK, on_vms_change, discovery);
        if (discovery->policy_watch)
                return;
        policy_path(discovery, path);
        (void) sd_event_add_inotify(discovery->event, &discovery->policy_watch, path, WATCH_MASK,
                                    on_policy_change, discovery);
}

void discovery_rescan(Discovery *discovery, bool policies) {
        int enabled = SD_EVENT_OFF;

        assert(discovery);

        discovery->policies_due = discovery->policies_due || policies || !discovery->policy_watch;
        watch(discovery);
        discovery->again = true;
        if (discovery->scan)
                return;
        (void) sd_event_source_get_enabled(discovery->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(discovery->timer, SETTLE_USEC);
        (void) sd_event_source_set_enabled(discovery->timer, SD_EVENT_ONESHOT);
}

/* Where nothing is to be watched nothing has changed. One that can not be watched although it is there may have. */
static bool policies_are_known(const Discovery *discovery) {
        char path[PATH_SIZE];

        if (discovery->policy_watch)
                return true;
        policy_path(discovery, path);
        return discovery->n_configs == 0 && access(path, F_OK) < 0 && errno == ENOENT;
}

void discovery_look(Discovery *discovery) {
        assert(discovery);

        if (!discovery->vms_watch || !policies_are_known(discovery) ||
            !folder_is_as_marked(discovery->vms_dir, &discovery->mark))
                discovery_rescan(discovery, false);
}

int discovery_set_domains(Discovery *discovery, const DiscoveredVm *domains, size_t n) {
        DiscoveredVm *copy = NULL;

        assert(discovery);

        if (n > 0) {
                copy = reallocarray(NULL, n, sizeof(*copy));
                if (!copy)
                        return -ENOMEM;
                memcpy(copy, domains, n * sizeof(*copy));
        }
        abandon(discovery); /* it reads what is freed here */
        free(discovery->domains);
        discovery->domains = copy;
        discovery->n_domains = n;
        discovery_rescan(discovery, false);
        return 0;
}

int discovery_reload(Discovery *discovery, const DiscoveryDefaults *defaults) {
        int r;

        assert(discovery);
        assert(defaults);

        abandon(discovery); /* it reads what is freed here */
        r = load_policies(discovery);
        if (r >= 0) {
                discovery->policies_due = false;
                discovery->defaults = *defaults;
        }
        discovery_rescan(discovery, false);
        return r;
}

int discovery_new(sd_event *event, const DiscoveryOptions *options, DiscoveryHandler handler, void *userdata,
                  Discovery **ret) {
        _cleanup_(discovery_freep) Discovery *discovery = NULL;
        int r;

        assert(event);
        assert(options);
        assert(handler);
        assert(ret);

        discovery = malloc(sizeof(*discovery));
        if (!discovery)
                return -ENOMEM;
        *discovery = (Discovery){
                .root = options->root,
                .vms_dir = strdup(options->vms_dir),
                .policy_dir = strdup(options->policy_dir),
                .defaults = options->defaults,
                .event = sd_event_ref(event),
                .handler = handler,
                .userdata = userdata,
        };
        if (!discovery->vms_dir || !discovery->policy_dir)
                return -ENOMEM;

        r = load_policies(discovery);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &discovery->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer,
                                       discovery);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(discovery->timer, "discovery");
        r = slices_init(&discovery->slices, event, "discovery-slice", SD_EVENT_PRIORITY_NORMAL, proceed, end,
                        discovery);
        if (r < 0)
                return r;
        watch(discovery);

        *ret = TAKE_PTR(discovery);
        return 0;
}

Discovery *discovery_free(Discovery *discovery) {
        if (!discovery)
                return NULL;

        (void) sd_event_source_disable_unref(discovery->vms_watch);
        (void) sd_event_source_disable_unref(discovery->policy_watch);
        (void) sd_event_source_disable_unref(discovery->timer);
        slices_done(&discovery->slices);
        (void) discovery_scan_free(discovery->scan);
        (void) sd_event_unref(discovery->event);
        free(discovery->configs);
        free(discovery->domains);
        free(discovery->vms_dir);
        free(discovery->policy_dir);
        free(discovery);
        return NULL;
}
