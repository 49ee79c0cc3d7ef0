/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /proc/zoneinfo is no flat list: a line has its meaning from the "Node N, zone NAME" above it, and the
 * per-CPU pagesets repeat names ("high:") that the watermarks have ("high"). Only lines of a populated
 * zone's head are taken; pagesets differ by their colon. On a big guest most of the text is pagesets, so a
 * line is told apart by its first letter before anything is compared.
 */

#include <assert.h>
#include <string.h>

#include "agent/signals/counters.h"
#include "common/macro.h"
#include "common/parse.h"

typedef struct ZonePages { /* pages of one zone */
        uint64_t free, low, high, present, managed, file;
} ZonePages;

typedef struct ZoneSums {
        ZonePages kernel, movable;
        uint64_t kernel_present; /* every kernel zone, also the one that is left out of kernel */
        bool any;
} ZoneSums;

typedef enum ZoneName {
        ZONE_NAME_OTHER, /* HighMem, Device, or not known yet */
        ZONE_NAME_DMA,
        ZONE_NAME_KERNEL, /* DMA32, Normal */
        ZONE_NAME_MOVABLE,
} ZoneName;

/* ZONE_DMA of x86; on arm64 it may be all of a guest's boot memory. */
#define ZONE_ISA_DMA_BYTES (16 * MIB)

static void zone_add(ZonePages *sum, const ZonePages *zone) {
        sum->free = u64_add(sum->free, zone->free);
        sum->low = u64_add(sum->low, zone->low);
        sum->high = u64_add(sum->high, zone->high);
        sum->present = u64_add(sum->present, zone->present);
        sum->managed = u64_add(sum->managed, zone->managed);
        sum->file = u64_add(sum->file, zone->file);
}

static void zone_close(ZoneSums *sums, ZoneName name, ZonePages *zone, uint64_t page_size_bytes) {
        switch (name) {
        case ZONE_NAME_OTHER:
                break;
        case ZONE_NAME_DMA:
                sums->kernel_present = u64_add(sums->kernel_present, zone->present);
                if (u64_mul(zone->managed, page_size_bytes) > ZONE_ISA_DMA_BYTES)
                        zone_add(&sums->kernel, zone);
                break;
        case ZONE_NAME_KERNEL:
                sums->kernel_present = u64_add(sums->kernel_present, zone->present);
                zone_add(&sums->kernel, zone);
                break;
        case ZONE_NAME_MOVABLE:
                zone_add(&sums->movable, zone);
                break;
        }
        *zone = (ZonePages){};
}

/* "Node 0, zone    DMA32" */
static ZoneName zone_name_parse(const char *line, size_t length) {
        static const struct {
                const char *text;
                ZoneName name;
        } names[] = {
                {"DMA", ZONE_NAME_DMA},
                {"DMA32", ZONE_NAME_KERNEL},
                {"Normal", ZONE_NAME_KERNEL},
                {"Movable", ZONE_NAME_MOVABLE},
        };
        const char *last = memrchr(line, ' ', length);
        size_t n;

        if (!last)
                return ZONE_NAME_OTHER;
        last++;
        n = length - (size_t) (last - line);

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strlen(names[i].text) == n && memcmp(names[i].text, last, n) == 0)
                        return names[i].name;
        return ZONE_NAME_OTHER;
}

/*
 * If the line is "name value", adds the value.
 * Returns 1 if it is, 0 if not, -EINVAL if it bears the name and no number.
 */
static int take(const char *line, size_t length, const char *name, uint64_t *value) {
        size_t n = strlen(name);
        uint64_t x;

        if (length <= n || memcmp(line, name, n) != 0 || line[n] != ' ')
                return 0;
        while (n < length && line[n] == ' ')
                n++;
        if (parse_u64(line + n, length - n, &x) < 0)
                return -EINVAL;

        *value = u64_add(*value, x);
        return 1;
}

static int zone_line(ZonePages *zone, const char *line, size_t length) {
        switch (line[0]) {
        case 'p': {
                int r = take(line, length, "pages free", &zone->free);

                return r != 0 ? r : take(line, length, "present", &zone->present);
        }
        case 'l':
                return take(line, length, "low", &zone->low);
        case 'h':
                return take(line, length, "high", &zone->high);
        case 'm':
                return take(line, length, "managed", &zone->managed);
        case 'n': {
                int r = take(line, length, "nr_zone_inactive_file", &zone->file);

                return r != 0 ? r : take(line, length, "nr_zone_active_file", &zone->file);
        }
        default:
                return 0;
        }
}

static int sums_parse(const char *text, size_t size, uint64_t page_size_bytes, ZoneSums *sums) {
        ZoneName name = ZONE_NAME_OTHER;
        ZonePages zone = {};

        while (size > 0) {
                const char *newline = memchr(text, '\n', size), *line = text;
                size_t length = newline ? (size_t) (newline - text) : size;
                int r;

                text += newline ? length + 1 : length;
                size -= newline ? length + 1 : length;

                for (; length > 0 && *line == ' '; length--)
                        line++;
                if (length == 0)
                        continue;

                if (length > STRLEN("Node ") && memcmp(line, "Node ", STRLEN("Node ")) == 0) {
                        zone_close(sums, name, &zone, page_size_bytes);
                        name = zone_name_parse(line, length);
                        continue;
                }
                if (name == ZONE_NAME_OTHER)
                        continue;
                r = zone_line(&zone, line, length);
                if (r < 0)
                        return r;
                sums->any = sums->any || r > 0;
        }

        zone_close(sums, name, &zone, page_size_bytes);
        return sums->any ? 0 : -EINVAL;
}

int zoneinfo_parse(const char *text, size_t size, uint64_t page_size_bytes, Snapshot *snapshot,
                   ZoneBalance *ret_balance) {
        ZoneSums sums = {};
        int r;

        assert(text || size == 0);
        assert(snapshot);

        r = sums_parse(text, size, page_size_bytes, &sums);
        if (r < 0)
                return r;

        snapshot->kernel_free_bytes = u64_mul(sums.kernel.free, page_size_bytes);
        snapshot->kernel_high_bytes = u64_mul(sums.kernel.high, page_size_bytes);
        snapshot->kernel_low_bytes = u64_mul(sums.kernel.low, page_size_bytes);
        snapshot->kernel_file_bytes = u64_mul(sums.kernel.file, page_size_bytes);
        snapshot->kernel_managed_bytes = u64_mul(sums.kernel.managed, page_size_bytes);
        snapshot->movable_managed_bytes = u64_mul(sums.movable.managed, page_size_bytes);
        if (ret_balance)
                *ret_balance = (ZoneBalance){
                        .kernel_bytes = u64_mul(sums.kernel_present, page_size_bytes),
                        .movable_bytes = u64_mul(sums.movable.present, page_size_bytes),
                };
        return 0;
}
