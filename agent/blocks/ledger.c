/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The text: the boot's id, then one line "NUMBER IDENTITY" for each block that is an administrator's, and "NUMBER IDENTITY
 * ZONE" for each that was taken offline at the host's word: "movable", "kernel", or "unknown" where it had none. The
 * identity is the inode of the block's folder, which the kernel draws anew for each block in one boot; so a
 * line can not come to mean a block that was plugged later under the same number.
 *
 * It is a cache of a fact, not a state to be proud of: written in place, without fsync, below /run. A torn or
 * foreign file costs what is not in it, and the next change writes it anew.
 */

#include "agent/blocks/ledger.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "agent/blocks/run-folder.h"
#include "common/macro.h"
#include "common/parse.h"

/* 4096 blocks; more would be no administrator. */
#define TEXT_MAX ((size_t) 256 * 1024)

/* Returns 0 or -EINVAL. */
static int zone_parse(const char *word, size_t length, Zone *ret) {
        for (int zone = 0; zone < ZONE_MAX; zone++) {
                const char *name = zone_to_string((Zone) zone);

                if (length == strlen(name) && memcmp(word, name, length) == 0) {
                        *ret = (Zone) zone;
                        return 0;
                }
        }
        return -EINVAL;
}

static int take_line(const char *line, size_t length, BlockTable *table) {
        const char *end = line + length, *blank = memchr(line, ' ', length), *second;
        uint64_t number, identity;
        Zone zone = ZONE_UNKNOWN;
        BlockRecord *record;

        if (!blank)
                return -EINVAL;
        second = memchr(blank + 1, ' ', (size_t) (end - blank) - 1);
        if (parse_u64(line, (size_t) (blank - line), &number) < 0 ||
            parse_u64(blank + 1, (size_t) ((second ? second : end) - blank) - 1, &identity) < 0 ||
            (second && zone_parse(second + 1, (size_t) (end - second) - 1, &zone) < 0))
                return -EINVAL;

        record = block_table_find(table, number);
        if (record && record->identity == identity && record->state == BLOCK_STATE_OFFLINE) {
                record->was_online = true;
                record->administrators = !second;
                record->hosts = second;
                record->zone = zone;
        }
        return 0;
}

int block_ledger_parse(const char *text, size_t size, const char *boot_id, BlockTable *table) {
        bool first = true;

        assert(text || size == 0);
        assert(boot_id);
        assert(table);

        while (size > 0) {
                const char *newline = memchr(text, '\n', size);
                size_t length = newline ? (size_t) (newline - text) : size;
                int r;

                if (!newline)
                        return -EINVAL; /* torn */
                if (first && (length != strlen(boot_id) || memcmp(text, boot_id, length) != 0))
                        return 0; /* of another boot */
                if (!first) {
                        r = take_line(text, length, table);
                        if (r < 0)
                                return r;
                }
                first = false;
                text += length + 1;
                size -= length + 1;
        }
        return 0;
}

int block_ledger_load(const RootDir *root, BlockTable *table) {
        _cleanup_free_ char *text = NULL;
        char boot_id[BOOT_ID_SIZE];
        ssize_t n;
        int r;

        assert(root);
        assert(table);

        text = malloc(TEXT_MAX);
        if (!text)
                return -ENOMEM;
        n = rootdir_read(root, BLOCK_LEDGER_PATH, text, TEXT_MAX);
        if (n == -ENOENT)
                return 0;
        if (n < 0)
                return (int) n;

        r = run_folder_boot_id(root, boot_id);
        if (r < 0)
                return r;
        return block_ledger_parse(text, (size_t) n, boot_id, table);
}

static bool is_empty(const BlockTable *table) {
        for (size_t i = 0; i < table->n; i++)
                if (table->records[i].administrators || table->records[i].hosts)
                        return false;
        return true;
}

int block_ledger_save(const RootDir *root, const BlockTable *table) {
        _cleanup_close_ int fd = -EBADF;
        char boot_id[BOOT_ID_SIZE];
        int r;

        assert(root);
        assert(table);

        if (is_empty(table))
                return run_folder_remove(root, "blocks");
        r = run_folder_boot_id(root, boot_id);
        if (r >= 0)
                r = run_folder_make(root);
        if (r < 0)
                return r;
        fd = rootdir_open(root, BLOCK_LEDGER_PATH, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW);
        if (fd < 0)
                return fd;

        if (dprintf(fd, "%s\n", boot_id) < 0)
                return -errno;
        for (size_t i = 0; i < table->n; i++) {
                const BlockRecord *record = &table->records[i];

                if ((record->administrators || record->hosts) &&
                    dprintf(fd, "%" PRIu64 " %" PRIu64 "%s%s\n", record->number, record->identity,
                            record->hosts ? " " : "", record->hosts ? zone_to_string(record->zone) : "") < 0)
                        return -errno;
        }
        return 0;
}
