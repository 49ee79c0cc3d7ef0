/* SPDX-License-Identifier: Apache-2.0 */

/* Wiring and life: what the VMs share is made here, bound by the ledger, and by the configuration. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/forget.h"
#include "common/log.h"
#include "common/parse.h"
#include "host-bridge/bridge-internal.h"
#include "host-bridge/host-sensor.h"
#include "host-bridge/vmm/vmm-qmp.h"

#define RECORD_CAPACITY 4096U

/* libvirt lists its domains only after a while. */
#define SETTLE_USEC (60 * USEC_PER_SEC)

#define FORGET_USEC 500U /* in a second */

static uint64_t next_id(void *userdata) {
        Bridge *bridge = userdata;

        return record_next_id(bridge->record);
}

static void put_record(const Decision *decision, void *userdata) {
        Bridge *bridge = userdata;

        record_put(bridge->record, decision);
}

static int take_channel(const char *name, const char *path, void *userdata) {
        const Bridge *bridge = userdata;

        return fd_store_take_channel(bridge->fd_store, name, path);
}

static void keep_channel(const char *name, int fd, void *userdata) {
        const Bridge *bridge = userdata;

        fd_store_keep_channel(bridge->fd_store, name, fd);
}

static int open_vmm(const VmmAddress *address, const char *name, VmmOwner owner, void *userdata, Vmm **ret) {
        Bridge *bridge = userdata;

        switch (address->origin) {

        case VMM_ORIGIN_QMP:
                return vmm_qmp_new(bridge->env.event, name, address->text, &vmm_qmp_defaults, owner.handler,
                                   owner.userdata, ret);

        case VMM_ORIGIN_LIBVIRT:
                return domains_open_vmm(bridge->domains, address, name, owner, ret);

        case VMM_ORIGIN_NONE:
        case VMM_ORIGIN_MAX:
                break;
        }
        return -EOPNOTSUPP;
}

static void want_round(void *userdata) {
        Bridge *bridge = userdata;

        if (bridge->arbitration) /* not while the VMs are freed at the end */
                arbitration_soon(bridge->arbitration);
}

static void on_domains(const DiscoveredVm *domains, size_t n, void *userdata) {
        Bridge *bridge = userdata;

        if (discovery_set_domains(bridge->discovery, domains, n) < 0)
                log_error("libvirt: out of memory for its domains");
}

/*
 * While VMs come or go the heap is looked through each second, so that there is little to give back each time; once they
 * are up the code goes, some objects a second. In one go both held the loop for 38 ms at 10,000 VMs.
 */
static void forget_some(Bridge *bridge, bool slow) {
        uint64_t end_usec = clock_monotonic_usec() + FORGET_USEC;

        if (bridge->loose)
                forget_heap();
        while (bridge->forgetting && clock_monotonic_usec() < end_usec)
                bridge->forgetting = forget_code(bridge->n_forgotten++);
        if (bridge->loose && slow) {
                bridge->loose = false;
                bridge->forgetting = true;
                bridge->n_forgotten = 0;
        }
}

static void on_round(uint64_t now_usec, bool slow, void *userdata) {
        Bridge *bridge = userdata;

        arbitration_run(bridge->arbitration);
        forget_some(bridge, slow);
        if (slow)
                discovery_look(bridge->discovery);
        if (now_usec >= bridge->settle_usec) {
                fd_store_settle(bridge->fd_store);
                bridge->settle_usec = USEC_INFINITY;
        }
}

static int read_budget(const RootDir *root, const BridgeConfig *config, uint64_t *ret) {
        char budget[FORMAT_SIZE_MAX], host[FORMAT_SIZE_MAX];
        uint64_t total, reserve = config->reserve_bytes;
        int r;

        if (config->budget_bytes != BRIDGE_SIZE_AUTO) {
                *ret = u64_percent(config->budget_bytes, config->overcommit_percent);
                return 0;
        }
        r = host_memory_total(root, &total);
        if (r < 0)
                return log_error_errno(
                        r, "Could not read the host's memory (set [Host] Budget= to do without): %m");
        if (reserve == BRIDGE_SIZE_AUTO)
                reserve = host_reserve_auto(total);
        *ret = u64_percent(u64_sub(total, reserve), config->overcommit_percent);
        log_info("Budget for guests: %s of the host's %s", format_size(budget, *ret),
                 format_size(host, total));
        return 0;
}

/* What may change while VMs are served. */
static void apply_config(VmEnv *env, const BridgeConfig *config) {
        ShrinkPolicy policy = bridge_config_shrink_policy(config);

        env->arbiter = (ArbiterConfig){
                .shrink_idle = policy == SHRINK_POLICY_IDLE,
                .shrink_scarcity = policy != SHRINK_POLICY_NEVER,
                .calm_before_shrink_usec = config->calm_before_shrink_usec,
                .hold_after_grow_usec = config->hold_after_grow_usec,
                .hold_after_refusal_usec = config->hold_after_refusal_usec,
                .dead_band_bytes = config->dead_band_bytes,
        };
        env->resize = (ResizeConfig){
                .confirm_timeout_usec = config->confirm_timeout_usec,
                .offer_timeout_usec = config->offer_timeout_usec,
                .silence_usec = config->silence_usec,
        };
        env->pressure_limit_percent = config->pressure_limit_percent;
}

static void fill_env(Bridge *bridge, sd_event *event, const BridgeOptions *options) {
        const BridgeConfig *config = &options->config;

        bridge->env = (VmEnv){
                .event = sd_event_ref(event),
                .session = session_defaults,
                .ledger = &bridge->ledger,
                .open_vmm = open_vmm,
                .take_channel = take_channel,
                .keep_channel = keep_channel,
                .next_id = next_id,
                .record = put_record,
                .want_round = want_round,
                .leases = bridge->leases,
                .runtime_dir = bridge->runtime_dir,
                .root = options->root,
                .userdata = bridge,
        };
        apply_config(&bridge->env, config);
        bridge->env.session.report_interval_usec = config->report_interval_usec;
        bridge->env.session.stale_usec = 3 * config->report_interval_usec;
}

static int open_libvirt(Bridge *bridge, const BridgeConfig *config) {
        const char *uri = config->libvirt_connect, *module = config->libvirt_module;

        if (strcmp(uri, BRIDGE_FILE_OFF) == 0)
                return 0;
        return domains_new(bridge->env.event,
                           &(DomainsOptions){
                                   .uri = strcmp(uri, BRIDGE_FILE_AUTO) == 0 ? NULL : uri,
                                   .module = strcmp(module, BRIDGE_FILE_AUTO) == 0 ? MEMTIDE_LIBVIRT_MODULE
                                                                                   : module,
                           },
                           on_domains, bridge, &bridge->domains);
}

static int begin_rounds(Bridge *bridge, const BridgeConfig *config) {
        int r;

        r = arbitration_new(bridge->env.event,
                            &(ArbitrationOptions){
                                    .env = &bridge->env,
                                    .pool_bytes = config->pool_bytes,
                                    .walk = bridge_walk_vms,
                                    .userdata = bridge,
                            },
                            &bridge->arbitration);
        return r < 0 ? r : rounds_new(bridge->env.event, on_round, bridge, &bridge->rounds);
}

static int look_for_vms(Bridge *bridge, const BridgeOptions *options) {
        char vms_dir[4096];
        int r;

        (void) snprintf(vms_dir, sizeof(vms_dir), "%s/vms", options->runtime_dir);
        r = discovery_new(bridge->env.event,
                          &(DiscoveryOptions){
                                  .root = options->root,
                                  .vms_dir = vms_dir,
                                  .policy_dir = options->policy_dir,
                                  .defaults = {.mode = (VmMode) options->config.mode,
                                               .adopt = options->adopt},
                          },
                          bridge_take_vm, bridge, &bridge->discovery);
        return r < 0 ? r : open_libvirt(bridge, &options->config);
}

int bridge_new(sd_event *event, const BridgeOptions *options, Bridge **ret) {
        _cleanup_(bridge_freep) Bridge *bridge = NULL;
        int r;

        assert(event);
        assert(options);
        assert(ret);

        bridge = calloc(1, sizeof(*bridge));
        if (!bridge)
                return -ENOMEM;
        bridge->root = options->root;
        bridge->adopt = options->adopt;
        bridge->fd_store = options->fd_store;
        bridge->runtime_dir = strdup(options->runtime_dir);
        if (!bridge->runtime_dir)
                return -ENOMEM;
        r = leases_new(options->lease_dir, &bridge->leases);
        if (r < 0)
                return r;
        fill_env(bridge, event, options);
        bridge->settle_usec = u64_add(bridge_now(bridge), SETTLE_USEC);
        bridge_fill_snapshots(bridge);
        bridge_fill_control(bridge);
        r = read_budget(options->root, &options->config, &bridge->ledger.budget_bytes);
        if (r >= 0)
                r = record_new(RECORD_CAPACITY, &bridge->record);
        if (r >= 0)
                r = begin_rounds(bridge, &options->config);
        if (r >= 0)
                r = look_for_vms(bridge, options);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(bridge);
        return 0;
}

Bridge *bridge_free(Bridge *bridge) {
        if (!bridge)
                return NULL;

        (void) rounds_free(bridge->rounds);
        bridge->arbitration = arbitration_free(bridge->arbitration);
        (void) discovery_free(bridge->discovery);
        bridge_drop_vms(bridge);
        (void) domains_free(bridge->domains); /* after the VMs, which hold hands of it */
        (void) record_free(bridge->record);
        (void) sd_event_unref(bridge->env.event);
        free(bridge->runtime_dir);
        (void) leases_free(bridge->leases);
        free(bridge);
        return NULL;
}

int bridge_reload(Bridge *bridge, const BridgeConfig *config) {
        uint64_t budget_bytes = 0; /* the analyser does not know that log_error_errno() never returns 0 */
        int r;

        assert(bridge);
        assert(config);

        r = read_budget(bridge->root, config, &budget_bytes);
        if (r < 0)
                return r;
        r = discovery_reload(bridge->discovery,
                             &(DiscoveryDefaults){.mode = (VmMode) config->mode, .adopt = bridge->adopt});
        if (r < 0)
                return r;
        bridge->ledger.budget_bytes = budget_bytes;
        apply_config(&bridge->env, config);
        for (VmEntry *entry = bridge->vms; entry; entry = entry->hh.next)
                vm_reconfigured(entry->vm);
        return 0;
}

Record *bridge_record(const Bridge *bridge) {
        assert(bridge);

        return bridge->record;
}
