/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Level-triggered: inotify only says that it is time to look, a slow round asks for a look anyhow, and each
 * look reads both folders whole. An event per file ("NAME.qmp appeared") was rejected: the queue overflows, sockets are
 * made before they listen, files are renamed over each other, and each of those is a case of its own then.
 */

#include "host-bridge/guests/discovery.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>

#include "common/log.h"
#include "common/units.h"
#include "host-bridge/guests/discovery-scan.h"

/* Folders change in bursts: look once, a moment later. */
#define SETTLE_USEC (20 * USEC_PER_MSEC)

#define WATCH_MASK (IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE | IN_ONLYDIR)

struct Discovery {
        const RootDir *root;
        char *vms_dir, *policy_dir;
        DiscoveryDefaults defaults;
        sd_event *event;
        sd_event_source *vms_watch, *policy_watch, *timer;
        bool policies_due;
        VmConfig *configs; /* sorted by name */
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

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Discovery *discovery = userdata;
        _cleanup_free_ DiscoveredVm *vms = NULL;
        size_t n;
        int r;

        if (discovery->policies_due) {
                discovery->policies_due = false;
                r = load_policies(discovery);
                if (r < 0)
                        (void) log_warning_errno(r, "%s: the policies stay as they were: %m",
                                                 discovery->policy_dir);
        }

        r = discovery_scan(
                &(DiscoverySources){
                        .vms_dir = discovery->vms_dir,
                        .configs = discovery->configs,
                        .n_configs = discovery->n_configs,
                        .domains = discovery->domains,
                        .n_domains = discovery->n_domains,
                        .defaults = discovery->defaults,
                },
                &vms, &n);
        if (r < 0) {
                (void) log_warning_errno(r, "Could not look for VMs in %s: %m", discovery->vms_dir);
                return 0;
        }
        discovery->handler(vms, n, discovery->userdata);
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

/* A folder that can not be watched (it does not exist yet, or the limit is reached) is still looked at in each round. */
static void watch(Discovery *discovery) {
        char path[4096];

        if (!discovery->vms_watch)
                (void) sd_event_add_inotify(discovery->event, &discovery->vms_watch, discovery->vms_dir,
                                            WATCH_MASK, on_vms_change, discovery);
        if (discovery->policy_watch)
                return;
        (void) snprintf(path, sizeof(path), "%s/%s", rootdir_path(discovery->root),
                        discovery->policy_dir + strspn(discovery->policy_dir, "/"));
        (void) sd_event_add_inotify(discovery->event, &discovery->policy_watch, path, WATCH_MASK,
                                    on_policy_change, discovery);
}

void discovery_rescan(Discovery *discovery, bool policies) {
        int enabled = SD_EVENT_OFF;

        assert(discovery);

        discovery->policies_due = discovery->policies_due || policies || !discovery->policy_watch;
        watch(discovery);
        (void) sd_event_source_get_enabled(discovery->timer, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(discovery->timer, SETTLE_USEC);
        (void) sd_event_source_set_enabled(discovery->timer, SD_EVENT_ONESHOT);
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

        r = load_policies(discovery);
        if (r < 0)
                return r;
        discovery->policies_due = false;
        discovery->defaults = *defaults;
        discovery_rescan(discovery, false);
        return 0;
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
        (void) sd_event_unref(discovery->event);
        free(discovery->configs);
        free(discovery->domains);
        free(discovery->vms_dir);
        free(discovery->policy_dir);
        free(discovery);
        return NULL;
}
