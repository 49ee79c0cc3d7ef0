/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The reserve is for the host's kernel, its services and QEMU's own overhead; page tables and virtqueues grow
 * with the guests, hence the share. It is a start and not a measurement: who knows better sets Reserve=.
 */

#include "host-bridge/host-sensor.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/parse.h"
#include "common/units.h"

int host_memory_total(const RootDir *root, uint64_t *ret_bytes) {
        char text[16384];
        const char *line;
        uint64_t kib;
        ssize_t n;
        int r;

        assert(ret_bytes);

        n = rootdir_read(root, "proc/meminfo", text, sizeof(text));
        if (n < 0)
                return (int) n;
        line = strncmp(text, "MemTotal:", STRLEN("MemTotal:")) == 0 ? text : strstr(text, "\nMemTotal:");
        if (!line)
                return -EBADMSG;

        line = strchr(line, ':') + 1;
        line += strspn(line, " \t");
        r = parse_u64(line, strspn(line, "0123456789"), &kib);
        if (r < 0)
                return -EBADMSG;
        *ret_bytes = u64_mul(kib, KIB);
        return 0;
}

int host_pressure_read(const RootDir *root, const char *path, uint64_t *ret_some_usec) {
        const char *figure;
        char text[512];
        ssize_t n;

        assert(ret_some_usec);

        n = rootdir_read(root, path, text, sizeof(text));
        if (n < 0)
                return (int) n;
        figure = strncmp(text, "some ", STRLEN("some ")) == 0 ? strstr(text, " total=") : NULL;
        if (!figure)
                return -EBADMSG;
        figure += STRLEN(" total=");
        return parse_u64(figure, strspn(figure, "0123456789"), ret_some_usec) < 0 ? -EBADMSG : 0;
}

/* QEMU names itself qemu-system-x86 (15 characters), RHEL's qemu-kvm, Debian's older one kvm. */
static int check_is_qemu(const RootDir *root, int pid) {
        char path[64], name[64];
        ssize_t n;

        (void) snprintf(path, sizeof(path), "proc/%d/comm", pid);
        n = rootdir_read(root, path, name, sizeof(name));
        if (n < 0)
                return (int) n;
        return strncmp(name, "qemu", STRLEN("qemu")) == 0 || strncmp(name, "kvm", STRLEN("kvm")) == 0
                       ? 0
                       : -EINVAL;
}

int host_cgroup_pressure_path(const RootDir *root, int pid, char ret[static HOST_PATH_MAX]) {
        char path[64], text[4096], *line, *end;
        ssize_t n;
        int r;

        assert(ret);

        r = check_is_qemu(root, pid);
        if (r < 0)
                return r;
        (void) snprintf(path, sizeof(path), "proc/%d/cgroup", pid);
        n = rootdir_read(root, path, text, sizeof(text));
        if (n < 0)
                return (int) n;
        line = strncmp(text, "0::/", STRLEN("0::/")) == 0 ? text : strstr(text, "\n0::/");
        if (!line)
                return -ENOENT;
        line = strchr(line, '/');
        end = strchr(line, '\n');
        if (end)
                *end = '\0';
        r = snprintf(ret, HOST_PATH_MAX, "sys/fs/cgroup%s/memory.pressure", line);
        return r < (int) HOST_PATH_MAX ? 0 : -ENAMETOOLONG;
}

uint64_t host_reserve_auto(uint64_t total_bytes) {
        return u64_max(u64_percent(total_bytes, 4), 2 * GIB);
}
