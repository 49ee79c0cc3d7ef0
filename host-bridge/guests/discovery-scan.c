/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Every source adds what it knows to the VM of that name. Looking each name up in a list was quadratic; to sort all
 * entries at the end can not be done in pieces, and the whole look took the loop 130 ms at 10,000 VMs. So names are hashed,
 * and VMs are kept in blocks that do not move. A socket that is renamed while the folder is read may be passed over: a
 * folder that has changed meanwhile is read again.
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
#include <uthash.h>

#include "common/clock.h"
#include "common/units.h"

#define PIECE     32U  /* entries of the folder at a time */
#define BLOCK_VMS 512U /* more than malloc() takes from its heap: it goes back as a whole */
#define TRIES_MAX 3U

/* The clock of a file system may stand still for a tick: what has just changed may change again unseen. */
#define MARK_SEC 2U

typedef struct Found {
        DiscoveredVm vm;
        UT_hash_handle hh; /* by vm.name */
} Found;

typedef struct Block Block;
struct Block {
        Block *next;
        size_t n;
        Found found[BLOCK_VMS];
};

struct DiscoveryScan {
        DiscoverySources sources;
        DIR *dir;
        FolderMark mark; /* when reading began */
        unsigned n_tries;
        bool unmarked; /* it has links, and where they lead may change as well; or it has just changed */
        Block *blocks;
        Found *vms;  /* hash */
        Found *next; /* to be handed out */
};

static void use_qmp(DiscoveredVm *vm, const char path[static VM_PATH_MAX]) {
        vm->hypervisor.origin = VMM_ORIGIN_QMP;
        memcpy(vm->hypervisor.text, path, VM_PATH_MAX);
}

/* Finds it, or makes it. NULL: out of memory. */
static DiscoveredVm *vm_of(DiscoveryScan *scan, const char *name) {
        Block *block = scan->blocks;
        Found *found;

        HASH_FIND_STR(scan->vms, name, found);
        if (found)
                return &found->vm;
        if (!block || block->n == BLOCK_VMS) {
                block = malloc(sizeof(*block));
                if (!block)
                        return NULL;
                block->next = scan->blocks;
                block->n = 0;
                scan->blocks = block;
        }
        found = &block->found[block->n++];
        *found = (Found){};
        (void) snprintf(found->vm.name, sizeof(found->vm.name), "%s", name);
        HASH_ADD_STR(scan->vms, vm.name, found);
        return &found->vm;
}

/* A file without sockets is a policy only, for when the folder has them. */
static int take_configs(DiscoveryScan *scan) {
        for (size_t i = 0; i < scan->sources.n_configs; i++) {
                const VmConfig *config = &scan->sources.configs[i];

                if ((config->channel[0] != '\0' || config->qmp[0] != '\0') && !vm_of(scan, config->name))
                        return -ENOMEM;
        }
        return 0;
}

/*
 * A domain of libvirt is resized through libvirt, also where a monitor of the same name is in the folder: a second
 * hand on QEMU behind libvirt's back may crash libvirtd. A channel in the folder was put there by somebody,
 * and goes before the one that libvirt made.
 */
static int take_domains(DiscoveryScan *scan) {
        for (size_t i = 0; i < scan->sources.n_domains; i++) {
                const DiscoveredVm *domain = &scan->sources.domains[i];
                DiscoveredVm *vm = vm_of(scan, domain->name);

                if (!vm)
                        return -ENOMEM;
                *vm = *domain;
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

/* Its type, which the folder tells of most without a look at the file. */
static bool is_socket(DiscoveryScan *scan, const struct dirent *entry) {
        struct stat st;

        if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
                return entry->d_type == DT_SOCK;
        scan->unmarked = true;
        return fstatat(dirfd(scan->dir), entry->d_name, &st, 0) >= 0 && S_ISSOCK(st.st_mode);
}

static int take_file(DiscoveryScan *scan, const struct dirent *entry) {
        char name[DECISION_VM_NAME_MAX], path[VM_PATH_MAX];
        const char *file = entry->d_name;
        bool channel = strip_suffix(file, ".channel", name);
        DiscoveredVm *vm;

        if ((!channel && !strip_suffix(file, ".qmp", name)) || !is_socket(scan, entry))
                return 0;
        if (snprintf(path, sizeof(path), "%s/%s", scan->sources.vms_dir, file) >= (int) sizeof(path))
                return 0; /* no socket can have such a path: it is a link, and can not be connected to by it */

        vm = vm_of(scan, name);
        if (!vm)
                return -ENOMEM;
        if (channel)
                memcpy(vm->channel, path, sizeof(path));
        else if (vm->hypervisor.origin != VMM_ORIGIN_LIBVIRT)
                use_qmp(vm, path);
        return 0;
}

static int compare_name_to_config(const void *name, const void *config) {
        return strcmp(name, ((const VmConfig *) config)->name);
}

static const VmConfig *find_config(const VmConfig *configs, size_t n_configs, const char *name) {
        return n_configs == 0 ? NULL
                              : bsearch(name, configs, n_configs, sizeof(*configs), compare_name_to_config);
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

/* What a file of vm.d says goes before everything else. */
static void apply_config(const DiscoveryScan *scan, DiscoveredVm *vm) {
        const DiscoverySources *sources = &scan->sources;
        const VmConfig *config = find_config(sources->configs, sources->n_configs, vm->name);

        if (config && config->channel[0] != '\0')
                memcpy(vm->channel, config->channel, sizeof(config->channel));
        if (config && config->qmp[0] != '\0')
                use_qmp(vm, config->qmp);
        vm->policy = policy_for(vm, config, &sources->defaults);
}

static void drop_found(DiscoveryScan *scan) {
        HASH_CLEAR(hh, scan->vms);
        while (scan->blocks) {
                Block *block = scan->blocks;

                scan->blocks = block->next;
                free(block);
        }
}

static FolderMark mark_of(const struct stat *st) {
        return (FolderMark){.known = true, .device = st->st_dev, .inode = st->st_ino, .changed = st->st_mtim};
}

static bool same_mark(const FolderMark *a, const FolderMark *b) {
        return a->known && b->known && a->device == b->device && a->inode == b->inode &&
               a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

bool folder_is_as_marked(const char *path, const FolderMark *mark) {
        FolderMark now;
        struct stat st;

        assert(path);
        assert(mark);

        if (!mark->known || stat(path, &st) < 0)
                return false;
        now = mark_of(&st);
        return same_mark(&now, mark);
}

static int begin(DiscoveryScan *scan) {
        struct stat st;
        int r;

        drop_found(scan);
        scan->n_tries++;
        if (fstat(dirfd(scan->dir), &st) < 0)
                return -errno;
        scan->mark = mark_of(&st);
        scan->unmarked = clock_realtime_usec() < ((uint64_t) st.st_mtim.tv_sec + MARK_SEC) * USEC_PER_SEC;
        r = take_configs(scan);
        return r < 0 ? r : take_domains(scan);
}

/* Returns as discovery_scan_proceed(). */
static int end(DiscoveryScan *scan) {
        struct stat st;
        FolderMark now;
        int r;

        if (fstat(dirfd(scan->dir), &st) < 0)
                return -errno;
        now = mark_of(&st);
        if (!same_mark(&now, &scan->mark) && scan->n_tries < TRIES_MAX) {
                rewinddir(scan->dir);
                r = begin(scan);
                return r < 0 ? r : 1;
        }
        scan->next = scan->vms;
        return 0;
}

int discovery_scan_proceed(DiscoveryScan *scan) {
        int r;

        assert(scan);

        for (unsigned i = 0; i < PIECE; i++) {
                const struct dirent *entry = (errno = 0, readdir(scan->dir));

                if (!entry)
                        return errno > 0 ? -errno : end(scan);
                r = take_file(scan, entry);
                if (r < 0)
                        return r;
        }
        return 1;
}

const DiscoveredVm *discovery_scan_next(DiscoveryScan *scan) {
        Found *found;

        assert(scan);

        found = scan->next;
        if (!found)
                return NULL;
        scan->next = found->hh.next;
        apply_config(scan, &found->vm);
        return &found->vm;
}

FolderMark discovery_scan_mark(const DiscoveryScan *scan) {
        assert(scan);

        return scan->unmarked ? (FolderMark){} : scan->mark;
}

int discovery_scan_new(const DiscoverySources *sources, DiscoveryScan **ret) {
        _cleanup_(discovery_scan_freep) DiscoveryScan *scan = NULL;
        int r;

        assert(sources && sources->vms_dir);
        assert(ret);

        scan = calloc(1, sizeof(*scan));
        if (!scan)
                return -ENOMEM;
        scan->sources = *sources;
        scan->dir = opendir(sources->vms_dir);
        if (!scan->dir)
                return -errno;
        r = begin(scan);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(scan);
        return 0;
}

DiscoveryScan *discovery_scan_free(DiscoveryScan *scan) {
        if (!scan)
                return NULL;

        drop_found(scan);
        if (scan->dir)
                (void) closedir(scan->dir);
        free(scan);
        return NULL;
}
