/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The flat and the nested files of /proc that are read under pressure, each parser over the same text:
 * meminfo, vmstat, zoneinfo, iomem, and zram's two. The order of keys that was learnt from another text must
 * not change what is read, and nothing of one text may survive the next.
 */

#include "fuzz.h"

#include <string.h>

#include "agent/blocks/block.h"
#include "agent/signals/balloon.h"
#include "agent/signals/counters.h"
#include "agent/signals/zram.h"

static const char other_meminfo[] = "MemAvailable: 3 kB\nMemTotal: 4 kB\nMemFree: 2 kB\nSwapFree: 0 kB\n";
static const char other_vmstat[] =
        "oom_kill 1\npgscan_direct 5\npgscan_kswapd 6\nworkingset_refault_anon 7\n";

static size_t count_lines_of(const char *text, size_t size, const char *name, const char *after_name) {
        size_t n_name = strlen(name), n_after = strlen(after_name), count = 0;

        for (size_t at = 0; at < size;) {
                const char *newline = memchr(text + at, '\n', size - at);
                size_t length = newline ? (size_t) (newline - text) - at : size - at;

                if (length > n_name + n_after && memcmp(text + at, name, n_name) == 0 &&
                    memcmp(text + at + n_name, after_name, n_after) == 0 &&
                    text[at + n_name + n_after] == ' ')
                        count++;
                at += length + 1;
        }
        return count;
}

/* The kernel repeats no name; where a text does, any of the occurrences may be taken. */
static bool repeats_a_name(const CountersTable *table, const char *text, size_t size) {
        for (size_t i = 0; i < table->n_keys; i++)
                if (count_lines_of(text, size, table->keys[i].name, table->after_name) > 1)
                        return true;
        return false;
}

static void check_counters(const CountersTable *table, const char *other, const char *text, size_t size,
                           Counters *ret) {
        Counters searched = {}, ordered, primed = {};
        uint32_t missing = counters_parse(&searched, table, text, size);

        ordered = searched;
        FUZZ_CHECK(counters_parse(&ordered, table, text, size) == missing);
        FUZZ_CHECK(memcmp(&ordered, &searched, sizeof(ordered)) == 0);

        (void) counters_parse(&primed, table, other, strlen(other));
        if (!repeats_a_name(table, text, size)) {
                FUZZ_CHECK(counters_parse(&primed, table, text, size) == missing);
                FUZZ_CHECK(primed.found == searched.found);
                FUZZ_CHECK(memcmp(primed.value, searched.value, sizeof(searched.value)) == 0);
        }

        for (unsigned key = 0; key < table->n_keys; key++) {
                FUZZ_CHECK(searched.value[key] <= table->value_max);
                FUZZ_CHECK(counters_has(&searched, key) || searched.value[key] == 0);
                FUZZ_CHECK(counters_has(&searched, key) || table->keys[key].optional || missing & 1U << key);
        }

        (void) counters_parse(&ordered, table, "", 0);
        FUZZ_CHECK(ordered.found == 0);
        *ret = searched;
}

static void check_snapshot(const Counters *meminfo, const Counters *vmstat) {
        Snapshot snapshot = {};

        (void) balloon_size_bytes(meminfo, vmstat, 4096);
        (void) balloon_size_bytes(meminfo, NULL, 4096);
        (void) counters_fill_vmstat(vmstat, &snapshot);
        if (!counters_fill_meminfo(meminfo, &snapshot))
                return;

        FUZZ_CHECK(snapshot.total_bytes <= MEMORY_BYTES_MAX);
        FUZZ_CHECK(snapshot.available_bytes <= snapshot.total_bytes);
        FUZZ_CHECK(snapshot.free_bytes <= snapshot.total_bytes);
        FUZZ_CHECK(snapshot.swap_free_bytes <= snapshot.swap_total_bytes);
}

static void check_zoneinfo(const char *text, size_t size) {
        Snapshot snapshot = {.kernel_free_bytes = 77};
        ZoneBalance balance = {.kernel_bytes = 78};
        int r;

        r = zoneinfo_parse(text, size, 4096, &snapshot, &balance);
        if (r < 0)
                FUZZ_CHECK(snapshot.kernel_free_bytes == 77 && balance.kernel_bytes == 78);
        FUZZ_CHECK(zoneinfo_parse(text, size, 4096, &snapshot, NULL) == r);
}

static void check_iomem(const char *text, size_t size) {
        BlockMap map;

        block_map_parse(text, size, &map);
        FUZZ_CHECK(map.n_ranges <= BLOCK_RANGES_MAX);
        FUZZ_CHECK(map.has_virtio_mem == (map.n_ranges > 0));
        for (size_t i = 0; i < map.n_ranges; i++)
                FUZZ_CHECK(map.ranges[i].start <= map.ranges[i].end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *) data;
        Counters meminfo, vmstat;
        uint64_t number;

        check_counters(&counters_meminfo, other_meminfo, text, size, &meminfo);
        check_counters(&counters_vmstat, other_vmstat, text, size, &vmstat);
        check_snapshot(&meminfo, &vmstat);
        check_zoneinfo(text, size);
        check_iomem(text, size);
        (void) zram_parse_mm_stat(text, size, &number);
        (void) zram_parse_swap(text, size, &number);
        return 0;
}
