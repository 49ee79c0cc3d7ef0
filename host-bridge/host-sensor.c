/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The reserve is for the host's kernel, its services and QEMU's own overhead; page tables and virtqueues grow
 * with the guests, hence the share. It is a start and not a measurement: who knows better sets Reserve=.
 */

#include "host-bridge/host-sensor.h"

#include <assert.h>
#include <errno.h>
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

uint64_t host_reserve_auto(uint64_t total_bytes) {
        return u64_max(u64_percent(total_bytes, 4), 2 * GIB);
}
