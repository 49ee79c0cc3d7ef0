/* SPDX-License-Identifier: Apache-2.0 */

/*
 * DIMMs as ACPI knows them. A block of a DIMM links to the DIMM's device, and all that link to one device are one
 * DIMM. The range of the device's resources would be exact, but sysfs does not show it.
 */

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/blocks/block.h"
#include "common/macro.h"
#include "common/parse.h"

#define ACPI_DEVICES_PATH "sys/bus/acpi/devices"
#define DIMM_PREFIX       "PNP0C80:"

/* Blocks of one DIMM that are looked for: 128 GiB in the smallest of x86. */
#define DIMM_BLOCKS_MAX 1024U

#define DIMM_NAME_SIZE 64U

/*
 * The name of the ACPI memory device that the block links to, such as "PNP0C80:00".
 * Returns 1, 0 if it links to none, or -errno.
 */
static int dimm_name_read(const RootDir *root, uint64_t number, char ret[static DIMM_NAME_SIZE]) {
        char path[128], target[4096];
        const char *name;
        ssize_t n;

        (void) snprintf(path, sizeof(path), BLOCK_FOLDER "/memory%" PRIu64 "/firmware_node", number);
        n = rootdir_readlink(root, path, target, sizeof(target));
        if (n < 0)
                return n == -ENOENT ? 0 : (int) n;

        name = strrchr(target, '/');
        name = name ? name + 1 : target;
        if (strncmp(name, DIMM_PREFIX, STRLEN(DIMM_PREFIX)) != 0 || strlen(name) >= DIMM_NAME_SIZE)
                return 0;
        memcpy(ret, name, strlen(name) + 1);
        return 1;
}

static bool belongs_to(const RootDir *root, uint64_t number, const char *dimm) {
        char name[DIMM_NAME_SIZE];

        return dimm_name_read(root, number, name) > 0 && strcmp(name, dimm) == 0;
}

int block_dimm_extent(const RootDir *root, uint64_t number, uint64_t *ret_first, uint64_t *ret_last) {
        uint64_t first = number, last = number;
        char dimm[DIMM_NAME_SIZE];
        int r;

        assert(root);
        assert(ret_first);
        assert(ret_last);

        r = dimm_name_read(root, number, dimm);
        if (r < 0)
                return r;
        if (r == 0)
                return -ENOENT;

        while (first > 0 && last - first < DIMM_BLOCKS_MAX && belongs_to(root, first - 1, dimm))
                first--;
        while (last - first < DIMM_BLOCKS_MAX && belongs_to(root, last + 1, dimm))
                last++;

        *ret_first = first;
        *ret_last = last;
        return 0;
}

int block_is_dimm(const RootDir *root, uint64_t number) {
        char name[DIMM_NAME_SIZE];

        assert(root);
        return dimm_name_read(root, number, name);
}

/* ACPI has a device for each slot, also for an empty one, whose status is 0. */
static bool slot_is_filled(const RootDir *root, const char *name) {
        char path[256 + 64], text[32];
        uint64_t status;
        ssize_t n;

        (void) snprintf(path, sizeof(path), ACPI_DEVICES_PATH "/%s/status", name);
        n = rootdir_read_line(root, path, text, sizeof(text));
        return n <= 0 || parse_u64(text, (size_t) n, &status) < 0 || status != 0;
}

int block_any_dimm(const RootDir *root) {
        _cleanup_(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        int r;

        assert(root);

        r = rootdir_opendir(root, ACPI_DEVICES_PATH, &dir);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r;

        while (errno = 0, entry = readdir(dir))
                if (strncmp(entry->d_name, DIMM_PREFIX, STRLEN(DIMM_PREFIX)) == 0 &&
                    slot_is_filled(root, entry->d_name))
                        return 1;
        return -errno;
}
