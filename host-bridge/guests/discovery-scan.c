/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every source appends what it knows, then one sort brings the parts of a VM together: linear in the files, where
 * looking each name up in what is there already was quadratic and took the loop 100 ms at 5000 VMs.
 *
 * A socket may be a link: libvirt's own paths are linked into the folder in that way. Who can write the folder is
 * trusted with that; who can not is kept out by its mode.
 */

#include "host-bridge/guests/discovery-scan.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Scan {
        const char *vms_dir;
        DiscoveredVm *vms; /* owned; several entries of one name until merge() */
        size_t n, allocated;
} Scan;

static void use_qmp(DiscoveredVm *vm, const char path[static VM_PATH_MAX]) {
        vm->hypervisor.origin = VMM_ORIGIN_QMP;
        memcpy(vm->hypervisor.text, path, VM_PATH_MAX);
}

static DiscoveredVm *append(Scan *scan, const char *name) {
        DiscoveredVm *vm;

        if (scan->n == scan->allocated) {
                size_t allocated = scan->allocated > 0 ? scan->allocated * 2 : 16;
                DiscoveredVm *more = reallocarray(scan->vms, allocated, sizeof(*more));

                if (!more)
                        return NULL;
                scan->vms = more;
                scan->allocated = allocated;
        }
        vm = &scan->vms[scan->n++];
        *vm = (DiscoveredVm){};
        (void) snprintf(vm->name, sizeof(vm->name), "%s", name);
        return vm;
}

/* A file without sockets is a policy only, for when the folder has them. */
static int take_configs(Scan *scan, const VmConfig *configs, size_t n_configs) {
        for (size_t i = 0; i < n_configs; i++) {
                const VmConfig *config = &configs[i];
                DiscoveredVm *vm;

                if (config->channel[0] == '\0' && config->qmp[0] == '\0')
                        continue;
                vm = append(scan, config->name);
                if (!vm)
                        return -ENOMEM;
                memcpy(vm->channel, config->channel, sizeof(vm->channel));
                if (config->qmp[0] != '\0')
                        use_qmp(vm, config->qmp);
        }
        return 0;
}

/* "NAME.channel" -> NAME, if it ends so and NAME is one. */
static bool strip_suffix(const char *file, const char *suffix, char ret[static DECISION_VM_NAME_MAX]) {
        size_t n = strlen(file), s = strlen(suffix);

        if (n <= s || n - s >= DECISION_VM_NAME_MAX || strcmp(file + n - s, suffix) != 0)
                return false;
        memcpy(ret, file, n - s);
        ret[n - s] = '\0';
        return vm_name_is_valid(ret);
}

static int take_file(Scan *scan, DIR *dir, const char *file) {
        char name[DECISION_VM_NAME_MAX], path[VM_PATH_MAX];
        bool channel = strip_suffix(file, ".channel", name);
        DiscoveredVm *vm;
        struct stat st;

        if (!channel && !strip_suffix(file, ".qmp", name))
                return 0;
        if (fstatat(dirfd(dir), file, &st, 0) < 0 || !S_ISSOCK(st.st_mode))
                return 0;
        if (snprintf(path, sizeof(path), "%s/%s", scan->vms_dir, file) >= (int) sizeof(path))
                return 0; /* no socket can have such a path: it is a link, and can not be connected to by it */

        vm = append(scan, name);
        if (!vm)
                return -ENOMEM;
        if (channel)
                memcpy(vm->channel, path, sizeof(path));
        else
                use_qmp(vm, path);
        return 0;
}

static int take_folder(Scan *scan) {
        _cleanup_(closedirp) DIR *dir = opendir(scan->vms_dir);
        const struct dirent *entry;
        int r;

        if (!dir)
                return -errno;
        while ((errno = 0, entry = readdir(dir))) {
                r = take_file(scan, dir, entry->d_name);
                if (r < 0)
                        return r;
        }
        return -errno;
}

static int compare_vms(const void *a, const void *b) {
        return strcmp(((const DiscoveredVm *) a)->name, ((const DiscoveredVm *) b)->name);
}

static int compare_name_to_config(const void *name, const void *config) {
        return strcmp(name, ((const VmConfig *) config)->name);
}

static const VmConfig *find_config(const VmConfig *configs, size_t n_configs, const char *name) {
        return n_configs == 0 ? NULL
                              : bsearch(name, configs, n_configs, sizeof(*configs), compare_name_to_config);
}

static int take_domains(Scan *scan, const DiscoveredVm *domains, size_t n_domains) {
        for (size_t i = 0; i < n_domains; i++) {
                DiscoveredVm *vm = append(scan, domains[i].name);

                if (!vm)
                        return -ENOMEM;
                *vm = domains[i];
        }
        return 0;
}

/*
 * A domain of libvirt is resized through libvirt, also where a monitor of the same name is in the folder: a second
 * hand on QEMU behind libvirt's back may crash libvirtd. A channel in the folder was put there by somebody,
 * and goes before the one that libvirt made.
 */
static void merge_part(DiscoveredVm *vm, const DiscoveredVm *part) {
        bool domain = part->hypervisor.origin == VMM_ORIGIN_LIBVIRT;

        if (part->channel[0] != '\0' && (!domain || vm->channel[0] == '\0'))
                memcpy(vm->channel, part->channel, sizeof(vm->channel));
        if (domain)
                vm->policy = part->policy;
        if (domain ||
            (part->hypervisor.origin != VMM_ORIGIN_NONE && vm->hypervisor.origin != VMM_ORIGIN_LIBVIRT))
                vm->hypervisor = part->hypervisor;
}

/* Entries of one name become one. What a file of vm.d says goes before everything else. */
static void merge(Scan *scan, const VmConfig *configs, size_t n_configs) {
        size_t n = 0;

        if (scan->n > 0)
                qsort(scan->vms, scan->n, sizeof(*scan->vms), compare_vms);
        for (size_t i = 0; i < scan->n; i++) {
                const DiscoveredVm *part = &scan->vms[i];

                if (n == 0 || strcmp(scan->vms[n - 1].name, part->name) != 0) {
                        scan->vms[n++] = *part;
                        continue;
                }
                merge_part(&scan->vms[n - 1], part);
        }
        scan->n = n;

        for (size_t i = 0; i < n; i++) {
                const VmConfig *config = find_config(configs, n_configs, scan->vms[i].name);

                if (config && config->channel[0] != '\0')
                        memcpy(scan->vms[i].channel, config->channel, sizeof(config->channel));
                if (config && config->qmp[0] != '\0')
                        use_qmp(&scan->vms[i], config->qmp);
        }
}

/* A file goes before a domain's metadata as a whole: which of the two said what could not be told any more. */
static VmPolicy policy_for(const DiscoveredVm *vm, const VmConfig *config,
                           const DiscoveryDefaults *defaults) {
        VmPolicy policy = config ? config->policy : vm->policy;

        if (policy.mode == VM_MODE_DEFAULT)
                policy.mode = defaults->mode;
        if (defaults->adopt && !policy.controlled) { /* --adopt gives what no file says */
                policy.controlled = true;
                policy.max_bytes = UINT64_MAX;
        }
        return policy;
}

int discovery_scan(const DiscoverySources *sources, DiscoveredVm **ret, size_t *ret_n) {
        Scan scan = {.vms_dir = sources->vms_dir};
        int r;

        assert(sources->vms_dir);
        assert(ret);
        assert(ret_n);

        r = take_configs(&scan, sources->configs, sources->n_configs);
        if (r >= 0)
                r = take_domains(&scan, sources->domains, sources->n_domains);
        if (r >= 0)
                r = take_folder(&scan);
        if (r < 0) {
                free(scan.vms);
                return r;
        }

        merge(&scan, sources->configs, sources->n_configs);
        for (size_t i = 0; i < scan.n; i++) {
                DiscoveredVm *vm = &scan.vms[i];

                vm->policy = policy_for(vm, find_config(sources->configs, sources->n_configs, vm->name),
                                        &sources->defaults);
        }
        *ret = scan.vms;
        *ret_n = scan.n;
        return 0;
}
