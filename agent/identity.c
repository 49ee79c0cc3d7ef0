/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Read once at start: a boot id does not change under a running agent, and a snapshot that is restored
 * is the host's business to notice, since everything in the guest goes back with it.
 */

#include "agent/identity.h"

#include <assert.h>
#include <string.h>

#include "common/log.h"

#define BOOT_ID_PATH "proc/sys/kernel/random/boot_id"
#define RELEASE_PATH "proc/sys/kernel/osrelease"

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -EINVAL;
}

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"; anything else leaves ret as it is. Returns 0 or -EBADMSG. */
static int boot_id_parse(const char *text, uint8_t ret[static MESSAGE_BOOT_ID_SIZE]) {
        uint8_t id[MESSAGE_BOOT_ID_SIZE] = {};
        size_t n_digits = 0;

        for (; *text; text++) {
                int digit = hex_digit(*text);

                if (*text == '-')
                        continue;
                if (digit < 0 || n_digits >= 2 * sizeof(id))
                        return -EBADMSG;
                id[n_digits / 2] = (uint8_t) (id[n_digits / 2] << 4 | digit);
                n_digits++;
        }
        if (n_digits != 2 * sizeof(id))
                return -EBADMSG;
        memcpy(ret, id, sizeof(id));
        return 0;
}

/* The wire takes printable ASCII alone. Returns 0 or -EBADMSG if there is nothing, or something else in it. */
static int release_take(char *line, char ret[static MESSAGE_STRING_MAX + 1]) {
        int r = line[0] == '\0' ? -EBADMSG : 0;

        line[MESSAGE_STRING_MAX] = '\0';
        for (char *c = line; *c; c++)
                if (*c < ' ' || *c > '~') {
                        *c = '?';
                        r = -EBADMSG;
                }
        memcpy(ret, line, strlen(line) + 1);
        return r;
}

void identity_read(const RootDir *root, Identity *ret) {
        char line[128];
        ssize_t r;

        assert(root);
        assert(ret);

        *ret = (Identity){.page_size_bytes = (uint64_t) sysconf(_SC_PAGESIZE)};

        r = rootdir_read_line(root, BOOT_ID_PATH, line, sizeof(line));
        if (r >= 0)
                r = boot_id_parse(line, ret->boot_id);
        if (r < 0)
                log_unusable(BOOT_ID_PATH, (int) r, "the boot's id");

        r = rootdir_read_line(root, RELEASE_PATH, line, sizeof(line));
        if (r >= 0)
                r = release_take(line, ret->kernel_release);
        if (r < 0)
                log_unusable(RELEASE_PATH, (int) r, "the kernel's release");
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
