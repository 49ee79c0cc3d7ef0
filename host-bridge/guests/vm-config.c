/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One file per VM, named after it: who may write the folder decides about the VM. The name inside the file
 * was rejected, since two files could then claim one VM.
 */

#include "host-bridge/guests/vm-config.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include "common/parse.h"

#define SUFFIX ".conf"

bool vm_name_is_valid(const char *name) {
        size_t n = strlen(name);

        return n > 0 && n < DECISION_VM_NAME_MAX && name[0] != '.' &&
               strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static int parse_min(const char *value, void *field) {
        VmPolicy *policy = field;
        int r;

        r = parse_size(value, strlen(value), &policy->min_bytes);
        if (r < 0)
                return r;
        policy->has_min = true;
        return policy->min_bytes <= MEMORY_BYTES_MAX ? 0 : -ERANGE;
}

static void format_min(const void *field, char *buffer, size_t size) {
        const VmPolicy *policy = field;
        char text[FORMAT_SIZE_MAX] = "";

        (void) snprintf(buffer, size, "%s", policy->has_min ? format_size(text, policy->min_bytes) : text);
}

static int parse_max(const char *value, void *field) {
        VmPolicy *policy = field;
        uint64_t bytes = UINT64_MAX;
        int r;

        if (strcmp(value, "device") != 0) {
                r = parse_size(value, strlen(value), &bytes);
                if (r < 0)
                        return r;
                if (bytes == 0 || bytes > MEMORY_BYTES_MAX)
                        return -ERANGE;
        }
        policy->controlled = true;
        policy->max_bytes = bytes;
        return 0;
}

static void format_max(const void *field, char *buffer, size_t size) {
        const VmPolicy *policy = field;
        char text[FORMAT_SIZE_MAX] = "";

        if (policy->controlled && policy->max_bytes == UINT64_MAX)
                (void) snprintf(buffer, size, "device");
        else
                (void) snprintf(buffer, size, "%s",
                                policy->controlled ? format_size(text, policy->max_bytes) : text);
}

static int parse_dimm_size(const char *value, void *field) {
        uint64_t *bytes = field;
        int r;

        if (value[0] == '\0' || strcmp(value, "no") == 0) {
                *bytes = 0;
                return 0;
        }
        r = parse_size(value, strlen(value), bytes);
        if (r < 0)
                return r;
        return *bytes > 0 && *bytes <= MEMORY_BYTES_MAX && *bytes % MEMORY_MODEL_DIMM_MIN_BYTES == 0
                       ? 0
                       : -ERANGE;
}

static void format_dimm_size(const void *field, char *buffer, size_t size) {
        const uint64_t *bytes = field;
        char text[FORMAT_SIZE_MAX];

        (void) snprintf(buffer, size, "%s", *bytes > 0 ? format_size(text, *bytes) : "no");
}

static const ConfigKey vm_keys[] = {
        {
                .section = "VM",
                .key = "Channel",
                .type = CONFIG_STRING,
                .offset = offsetof(VmConfig, channel),
                .max = VM_PATH_MAX,
        },
        {
                .section = "VM",
                .key = "Qmp",
                .type = CONFIG_STRING,
                .offset = offsetof(VmConfig, qmp),
                .max = VM_PATH_MAX,
        },
        {
                .section = "VM",
                .key = "Min",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(VmConfig, policy),
                .parse = parse_min,
                .format = format_min,
                .allowed = "a size up to 64T, such as 512M",
        },
        {
                .section = "VM",
                .key = "Max",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(VmConfig, policy),
                .parse = parse_max,
                .format = format_max,
                .allowed = "a size up to 64T, such as 4G, or \"device\"",
        },
        {
                .section = "VM",
                .key = "Class",
                .type = CONFIG_ENUM,
                .offset = offsetof(VmConfig, policy.vm_class),
                .names = vm_class_names,
        },
        {
                .section = "VM",
                .key = "Shares",
                .type = CONFIG_U64,
                .offset = offsetof(VmConfig, policy.shares),
                .min = 1,
                .max = SHARES_MAX,
        },
        {
                .section = "VM",
                .key = "DimmSize",
                .type = CONFIG_CUSTOM,
                .offset = offsetof(VmConfig, policy.dimm_bytes),
                .parse = parse_dimm_size,
                .format = format_dimm_size,
                .allowed = "a multiple of 128M up to 64T, such as 1G, or \"no\"",
        },
        {
                .section = "VM",
                .key = "Mode",
                .type = CONFIG_ENUM,
                .offset = offsetof(VmConfig, policy.mode),
                .names = vm_mode_names,
        },
};

_Static_assert(sizeof(VmMode) == sizeof(int) && sizeof(VmClass) == sizeof(int),
               "a CONFIG_ENUM writes an int");

const ConfigTable vm_config_table = {
        .name = "vm",
        .keys = vm_keys,
        .n_keys = ELEMENTSOF(vm_keys),
};

_printf_(5, 6) static void complain_at(const char *file, unsigned line, ConfigComplain complain,
                                       void *userdata, const char *format, ...) {
        char text[1024];
        va_list args;
        int n;

        n = snprintf(text, sizeof(text), "%.400s:%u: ", file, line);
        va_start(args, format);
        (void) vsnprintf(text + n, sizeof(text) - (size_t) n, format, args);
        va_end(args);
        complain(LOG_ERR, text, userdata);
}

static size_t key_index(const char *name) {
        size_t i = 0;

        while (strcmp(vm_keys[i].key, name) != 0)
                i++;
        return i;
}

static int finish(const char *where, const ConfigOrigin *origins, VmConfig *config, ConfigComplain complain,
                  void *userdata) {
        const VmPolicy *policy = &config->policy;
        char min[FORMAT_SIZE_MAX], max[FORMAT_SIZE_MAX];

        if (policy->controlled && policy->has_min && policy->min_bytes > policy->max_bytes) {
                complain_at(where, origins[key_index("Min")].line, complain, userdata,
                            "Min=%s: larger than Max=%s of line %u (allowed: up to that)",
                            format_size(min, policy->min_bytes), format_size(max, policy->max_bytes),
                            origins[key_index("Max")].line);
                return -EINVAL;
        }
        config->qmp_line = origins[key_index("Qmp")].line;
        config->channel_line = origins[key_index("Channel")].line;
        return 0;
}

int vm_config_load(const RootDir *root, const char *file, VmConfig *ret, ConfigComplain complain,
                   void *userdata) {
        ConfigOrigin origins[ELEMENTSOF(vm_keys)] = {};
        VmConfig config = *ret;
        int r;

        assert(root);
        assert(file);

        config.channel[0] = config.qmp[0] = '\0';
        config.policy = (VmPolicy){};
        r = config_load(&vm_config_table, root, file, &config, origins, complain, userdata);
        if (r >= 0)
                r = finish(file, origins, &config, complain, userdata);
        if (r < 0)
                return r;
        *ret = config;
        return 0;
}

int vm_config_parse(const char *where, const char *text, VmConfig *ret, ConfigComplain complain,
                    void *userdata) {
        ConfigOrigin origins[ELEMENTSOF(vm_keys)] = {};
        VmConfig config = {};
        int r;

        assert(where);
        assert(text);

        memcpy(config.name, ret->name, sizeof(config.name));
        r = config_parse_text(&vm_config_table, where, text, strlen(text), &config, origins, complain,
                              userdata);
        if (r >= 0)
                r = finish(where, origins, &config, complain, userdata);
        if (r < 0)
                return r;
        *ret = config;
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(((const VmConfig *) a)->name, ((const VmConfig *) b)->name);
}

static int compare_qmp(const void *a, const void *b) {
        return strcmp(((const VmConfig *) a)->qmp, ((const VmConfig *) b)->qmp) ?: compare_names(a, b);
}

static int compare_channels(const void *a, const void *b) {
        return strcmp(((const VmConfig *) a)->channel, ((const VmConfig *) b)->channel)
                       ?: compare_names(a, b);
}

/* Sorts configs by one of the two sockets and complains of each that stands in two files. */
static int find_twins(VmConfig *configs, size_t n, bool qmp, const char *folder, ConfigComplain complain,
                      void *userdata) {
        int verdict = 0;

        qsort(configs, n, sizeof(*configs), qmp ? compare_qmp : compare_channels);
        for (size_t i = 1; i < n; i++) {
                const VmConfig *first = configs + i - 1, *second = configs + i;
                const char *path = qmp ? second->qmp : second->channel;
                char file[512];

                if (path[0] == '\0' || strcmp(path, qmp ? first->qmp : first->channel) != 0)
                        continue;
                (void) snprintf(file, sizeof(file), "%s/%s" SUFFIX, folder, second->name);
                complain_at(file, qmp ? second->qmp_line : second->channel_line, complain, userdata,
                            "%s=%s: the same VM as in %s" SUFFIX ", line %u (allowed: one file per VM)",
                            qmp ? "Qmp" : "Channel", path, first->name,
                            qmp ? first->qmp_line : first->channel_line);
                verdict = -EINVAL;
        }
        return verdict;
}

/* One VM under two names would be told what the guest of the other needs. configs is sorted by name afterwards. */
static int check_together(VmConfig *configs, size_t n, const char *folder, ConfigComplain complain,
                          void *userdata) {
        int verdict;

        if (n == 0)
                return 0;
        verdict = find_twins(configs, n, true, folder, complain, userdata);
        if (find_twins(configs, n, false, folder, complain, userdata) < 0)
                verdict = -EINVAL;
        qsort(configs, n, sizeof(*configs), compare_names);
        return verdict;
}

/* "NAME.conf" -> NAME. Returns false for a file that is none of ours. */
static bool name_of_file(const char *file, char ret[static DECISION_VM_NAME_MAX]) {
        size_t n = strlen(file);

        if (n <= STRLEN(SUFFIX) || n - STRLEN(SUFFIX) >= DECISION_VM_NAME_MAX ||
            strcmp(file + n - STRLEN(SUFFIX), SUFFIX) != 0)
                return false;
        memcpy(ret, file, n - STRLEN(SUFFIX));
        ret[n - STRLEN(SUFFIX)] = '\0';
        return vm_name_is_valid(ret);
}

int vm_config_load_folder(const RootDir *root, const char *folder, VmConfig **ret, size_t *ret_n,
                          ConfigComplain complain, void *userdata) {
        _cleanup_free_ VmConfig *configs = NULL;
        _cleanup_(closedirp) DIR *dir = NULL;
        const struct dirent *entry;
        struct stat st;
        int r, verdict = 0;
        size_t n = 0;

        assert(ret);
        assert(ret_n);

        r = rootdir_opendir(root, folder + strspn(folder, "/"), &dir);
        if (r < 0 && r != -ENOENT)
                return r;
        if (dir && fstat(dirfd(dir), &st) >= 0 && (st.st_mode & S_IWOTH)) {
                char text[512];

                (void) snprintf(text, sizeof(text), "%.400s: anyone may write to that folder, refused",
                                folder);
                complain(LOG_ERR, text, userdata);
                return -EINVAL;
        }

        while (dir && (entry = readdir(dir))) {
                VmConfig config = {}, *more;
                char file[512];

                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(file, sizeof(file), "%s/%s", folder, entry->d_name);
                if (!name_of_file(entry->d_name, config.name)) {
                        complain(LOG_WARNING, file, userdata);
                        continue;
                }
                r = vm_config_load(root, file, &config, complain, userdata);
                if (r == -EINVAL) {
                        verdict = r;
                        continue;
                }
                if (r < 0)
                        return r;
                more = reallocarray(configs, n + 1, sizeof(*configs));
                if (!more)
                        return -ENOMEM;
                configs = more;
                configs[n++] = config;
        }

        if (check_together(configs, n, folder, complain, userdata) < 0)
                verdict = -EINVAL;
        *ret = TAKE_PTR(configs);
        *ret_n = n;
        return verdict;
}
