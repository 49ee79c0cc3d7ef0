/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A thin, strict layer over /sys/devices/system/memory. It holds no state: what a file says is asked for
 * each time, because a block changes under everybody's hands (the kernel's own onliner, a udev rule, a DIMM
 * that is ejected, an administrator).
 *
 * Two traps decide its form (kernel-qemu.md section 1.4). Writing "online" to a block that is online gives the
 * same EINVAL as a real refusal, so the answer to every write is read back and the errno only explains a
 * block that is still offline. And the zone asked for is not the zone obtained where somebody else was faster, so
 * valid_zones is read then; after a write that succeeded the zone is the word's own. "removable" is never looked at:
 * it has said nothing for years.
 */

#include "agent/blocks/block.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "agent/policy/zone.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/parse.h"
#include "common/units.h"

#define BLOCK_PATH_MAX 128U

/* 16 MiB (ppc64) to 2 GiB (large x86) today; a power of two in any case. */
#define BLOCK_SIZE_BYTES_MIN MIB
#define BLOCK_SIZE_BYTES_MAX (64 * GIB)

static const char *block_path(char path[static BLOCK_PATH_MAX], uint64_t number, const char *attribute) {
        (void) snprintf(path, BLOCK_PATH_MAX, BLOCK_FOLDER "/memory%" PRIu64 "%s%s", number,
                        attribute[0] ? "/" : "", attribute);
        return path;
}

/* A block that is being removed answers ENODEV while its file is still open to us. */
static int gone_is_enoent(int r) {
        return r == -ENODEV || r == -ENXIO ? -ENOENT : r;
}

static ssize_t attribute_read(const RootDir *root, uint64_t number, const char *attribute, char *buffer,
                              size_t size) {
        char path[BLOCK_PATH_MAX];
        ssize_t n = rootdir_read_line(root, block_path(path, number, attribute), buffer, size);

        return n < 0 ? gone_is_enoent((int) n) : n;
}

int block_size_read(const RootDir *root, uint64_t *ret_bytes) {
        char text[32];
        uint64_t bytes;
        ssize_t n;

        assert(root);
        assert(ret_bytes);

        n = rootdir_read_line(root, BLOCK_FOLDER "/block_size_bytes", text, sizeof(text));
        if (n < 0)
                return (int) n;
        if (parse_hex_u64(text, (size_t) n, &bytes) < 0 || bytes < BLOCK_SIZE_BYTES_MIN ||
            bytes > BLOCK_SIZE_BYTES_MAX || (bytes & (bytes - 1)) != 0)
                return -EBADMSG;

        *ret_bytes = bytes;
        return 0;
}

int block_kernel_onlines(const RootDir *root, bool *ret) {
        char text[32];
        ssize_t n;

        assert(root);
        assert(ret);

        n = rootdir_read_line(root, BLOCK_FOLDER "/auto_online_blocks", text, sizeof(text));
        if (n < 0)
                return (int) n;

        *ret = strncmp(text, "online", STRLEN("online")) == 0;
        return *ret || strcmp(text, "offline") == 0 ? 0 : -EBADMSG;
}

/* -- which there are ------------------------------------------------------------------------------- */

int block_number_from_name(const char *name, uint64_t *ret) {
        const char *digits;
        uint64_t number;

        assert(name);
        assert(ret);

        if (strncmp(name, "memory", STRLEN("memory")) != 0)
                return -EINVAL;
        digits = name + STRLEN("memory");

        /* "memory01" and "memory1" would be two names of one block. */
        if ((digits[0] == '0' && digits[1] != '\0') || parse_u64(digits, strlen(digits), &number) < 0 ||
            number > BLOCK_NUMBER_MAX)
                return -EINVAL;

        *ret = number;
        return 0;
}

typedef struct Listing {
        BlockEach each;
        void *userdata;
} Listing;

/* The inode of a sysfs folder is drawn anew each time the folder is made. */
static int list_name(const char *name, uint64_t inode, void *userdata) {
        const Listing *listing = userdata;
        BlockEntry entry = {.identity = inode};

        if (block_number_from_name(name, &entry.number) < 0)
                return 0;
        return listing->each(&entry, listing->userdata);
}

int block_list(const RootDir *root, BlockEach each, void *userdata) {
        Listing listing = {each, userdata};

        assert(root);
        assert(each);

        return rootdir_list(root, BLOCK_FOLDER, list_name, &listing);
}

int block_identity_read(const RootDir *root, uint64_t number, uint64_t *ret) {
        char path[BLOCK_PATH_MAX];

        assert(root);
        assert(ret);

        return gone_is_enoent(rootdir_inode(root, block_path(path, number, ""), ret));
}

/* -- one block ------------------------------------------------------------------------------------- */

int block_state_read(const RootDir *root, uint64_t number, BlockState *ret) {
        char text[32];
        ssize_t n;

        assert(root);
        assert(ret);

        n = attribute_read(root, number, "state", text, sizeof(text));
        if (n < 0)
                return (int) n;

        /* The kernel says "online"; a tree of plain files says what was last written to it. */
        if (strncmp(text, "online", STRLEN("online")) == 0)
                *ret = BLOCK_STATE_ONLINE;
        else if (strcmp(text, "offline") == 0)
                *ret = BLOCK_STATE_OFFLINE;
        else if (strcmp(text, "going-offline") == 0)
                *ret = BLOCK_STATE_GOING_OFFLINE;
        else
                return -EBADMSG;
        return 0;
}

/* Returns 0, or -EBADMSG for a word that no kernel says. */
static int zone_from_word(const char *word, Zone *ret) {
        static const struct {
                const char *word;
                Zone zone;
        } zones[] = {
                {"Movable", ZONE_MOVABLE}, {"Normal", ZONE_KERNEL},  {"DMA32", ZONE_KERNEL},
                {"DMA", ZONE_KERNEL},      {"none", ZONE_UNKNOWN}, /* the block spans zones or nodes */
                {"HighMem", ZONE_UNKNOWN}, {"Device", ZONE_UNKNOWN},
        };

        for (size_t i = 0; i < ELEMENTSOF(zones); i++)
                if (strcmp(word, zones[i].word) == 0) {
                        *ret = zones[i].zone;
                        return 0;
                }
        return -EBADMSG;
}

/* The first zone of a text that is taken apart, and whether Movable is among them. Returns 0 or -EBADMSG. */
static int zones_parse(char *text, Zone *ret_first, bool *ret_movable) {
        Zone first = ZONE_UNKNOWN, zone;
        bool movable = false, any = false;

        for (char *word; (word = strsep(&text, " "));) {
                if (word[0] == '\0')
                        continue;
                if (zone_from_word(word, &zone) < 0)
                        return -EBADMSG;
                if (!any)
                        first = zone;
                any = true;
                movable = movable || zone == ZONE_MOVABLE;
        }
        if (!any)
                return -EBADMSG;
        *ret_first = first;
        *ret_movable = movable;
        return 0;
}

int block_zone_read(const RootDir *root, uint64_t number, Zone *ret, bool *ret_movable) {
        char text[128], path[BLOCK_PATH_MAX];
        Zone first = ZONE_UNKNOWN;
        bool movable = false;
        ssize_t n;

        assert(root);
        assert(ret);

        n = attribute_read(root, number, "valid_zones", text, sizeof(text));
        if (n >= 0)
                n = strlen(text) == (size_t) n ? zones_parse(text, &first, &movable) : -EBADMSG;
        if (n < 0 && n != -ENOENT) /* a kernel without CONFIG_MEMORY_HOTREMOVE has none */
                log_unusable(block_path(path, number, "valid_zones"), (int) n, "this block's zone");
        if (n < 0)
                return (int) n;

        *ret = first;
        if (ret_movable)
                *ret_movable = movable;
        return 0;
}

/* -- online ---------------------------------------------------------------------------------------- */

/*
 * What the block is after a write for zone that gave r. Fills result; returns true if that is the end of it,
 * false if the block is still offline.
 */
static bool verify(const RootDir *root, uint64_t number, Zone zone, int r, BlockOnline *result) {
        BlockState state;
        int q;

        result->error = 0; /* of an earlier write */
        q = block_state_read(root, number, &state);
        if (q == -ENOENT) {
                result->result = BLOCK_ONLINE_GONE;
                return true;
        }
        if (q >= 0 && state == BLOCK_STATE_ONLINE) {
                result->result = r < 0 ? BLOCK_ONLINE_ALREADY : BLOCK_ONLINE_DONE;
                result->zone = r < 0 ? ZONE_UNKNOWN : zone;
                if (result->zone == ZONE_UNKNOWN)
                        (void) block_zone_read(root, number, &result->zone, NULL);
                return true;
        }

        result->result = BLOCK_ONLINE_FAILED;
        result->error = r < 0 ? -r : q < 0 ? -q : EIO; /* EIO: the kernel said yes, the block is not online */
        return false;
}

BlockOnline block_online(const RootDir *root, uint64_t number, Zone zone) {
        BlockOnline result = {.zone = ZONE_UNKNOWN};
        char path[BLOCK_PATH_MAX];
        int r;

        assert(root);

        (void) block_path(path, number, "state");
        r = gone_is_enoent(rootdir_write(root, path, zone_online_word(zone)));
        if (verify(root, number, zone, r, &result))
                return result;

        /*
         * EINVAL and still offline: this zone is not possible for this block. Memory in the other zone is
         * better than none; the zone is reported and counts against the ratio from then on.
         */
        if (r == -EINVAL) {
                r = gone_is_enoent(rootdir_write(root, path, "online"));
                if (verify(root, number, ZONE_UNKNOWN, r, &result))
                        result.fallback = result.result == BLOCK_ONLINE_DONE;
        }
        return result;
}
