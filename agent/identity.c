/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read once at start: a boot id does not change under a running agent, and a snapshot that is restored
 * is the host's business to notice, since everything in the guest goes back with it.
 */

#include "agent/identity.h"

#include <assert.h>
#include <string.h>

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -EINVAL;
}

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"; anything else leaves ret as it is. */
static void boot_id_parse(const char *text, uint8_t ret[static MESSAGE_BOOT_ID_SIZE]) {
        uint8_t id[MESSAGE_BOOT_ID_SIZE] = {};
        size_t n_digits = 0;

        for (; *text; text++) {
                int digit = hex_digit(*text);

                if (*text == '-')
                        continue;
                if (digit < 0 || n_digits >= 2 * sizeof(id))
                        return;
                id[n_digits / 2] = (uint8_t) (id[n_digits / 2] << 4 | digit);
                n_digits++;
        }
        if (n_digits == 2 * sizeof(id))
                memcpy(ret, id, sizeof(id));
}

void identity_read(const RootDir *root, Identity *ret) {
        char line[128];

        assert(root);
        assert(ret);

        *ret = (Identity){.page_size_bytes = (uint64_t) sysconf(_SC_PAGESIZE)};

        if (rootdir_read_line(root, "proc/sys/kernel/random/boot_id", line, sizeof(line)) >= 0)
                boot_id_parse(line, ret->boot_id);

        if (rootdir_read_line(root, "proc/sys/kernel/osrelease", line, sizeof(line)) >= 0) {
                line[MESSAGE_STRING_MAX] = '\0';
                for (char *c = line; *c; c++) /* the wire takes printable ASCII alone */
                        if (*c < ' ' || *c > '~')
                                *c = '?';
                memcpy(ret->kernel_release, line, strlen(line) + 1);
        }
}

bool identity_misses(const Identity *identity, Facility facility) {
        assert(identity);

        for (size_t i = 0; i < identity->n_missing; i++)
                if (identity->missing[i].facility == facility)
                        return true;
        return false;
}

bool identity_miss(Identity *identity, Facility facility, int error) {
        assert(identity);

        if (identity_misses(identity, facility) || identity->n_missing >= MESSAGE_MISSING_MAX)
                return false;

        identity->missing[identity->n_missing++] = (MessageMissing){
                .facility = facility,
                .error = error > 0 ? (unsigned) error : 0,
        };
        return true;
}
