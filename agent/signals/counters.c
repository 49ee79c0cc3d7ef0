/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Key tables over the kernel's counter files. Parsing, not reading, is the cost of a sample: a table
 * searched per line costs 4-9 times a meminfo pread for vmstat, one pass that expects the keys in the
 * order learnt at start costs 0.26 of it (estimator.md section 7). The order differs between kernels
 * (6.12 to 7.3 moved pgscan_* from one section to another) but not while one runs, so it is learnt and
 * not compiled in; where the expectation fails, the text is searched again and the order relearnt.
 *
 * A fixed line number per key would be faster still and was rejected: it can not tell that it reads the
 * wrong line. Here every value is taken from a line that bears its name.
 *
 * The kernel repeats no name. If a text does, one of its occurrences is taken.
 */

#include "agent/signals/counters.h"

#include <assert.h>
#include <string.h>

#include "common/macro.h"
#include "common/parse.h"

static const CountersKey meminfo_keys[MEMINFO_KEY_MAX] = {
        [MEMINFO_TOTAL] = {"MemTotal"},
        [MEMINFO_FREE] = {"MemFree"},
        [MEMINFO_AVAILABLE] = {"MemAvailable"},
        [MEMINFO_SWAP_CACHED] = {"SwapCached"},
        [MEMINFO_ACTIVE_FILE] = {"Active(file)"},
        [MEMINFO_INACTIVE_FILE] = {"Inactive(file)"},
        [MEMINFO_SWAP_TOTAL] = {"SwapTotal"},
        [MEMINFO_SWAP_FREE] = {"SwapFree"},
        [MEMINFO_SLAB_RECLAIMABLE] = {"SReclaimable"},
        [MEMINFO_BALLOON] = {"Balloon", .optional = true},
};

static const CountersKey held_keys[HELD_KEY_MAX] = {
        [HELD_ACTIVE_ANON] = {"Active(anon)"},
        [HELD_INACTIVE_ANON] = {"Inactive(anon)"},
        [HELD_UNEVICTABLE] = {"Unevictable"},
        [HELD_SLAB] = {"SUnreclaim"},
        [HELD_KERNEL_STACK] = {"KernelStack"},
        [HELD_PAGE_TABLES] = {"PageTables"},
        [HELD_SECOND_PAGE_TABLES] = {"SecPageTables", .optional = true},
        [HELD_VMALLOC] = {"VmallocUsed", .optional = true},
        [HELD_PERCPU] = {"Percpu", .optional = true},
        [HELD_HUGETLB] = {"Hugetlb", .optional = true}, /* CONFIG_HUGETLBFS */
};

static const CountersKey vmstat_keys[VMSTAT_KEY_MAX] = {
        [VMSTAT_PGSCAN_KSWAPD] = {"pgscan_kswapd"},
        [VMSTAT_PGSCAN_DIRECT] = {"pgscan_direct"},
        [VMSTAT_ALLOCSTALL_DMA] = {"allocstall_dma", .optional = true},
        [VMSTAT_ALLOCSTALL_DMA32] = {"allocstall_dma32", .optional = true},
        [VMSTAT_ALLOCSTALL_NORMAL] = {"allocstall_normal"},
        [VMSTAT_ALLOCSTALL_MOVABLE] = {"allocstall_movable"},
        [VMSTAT_PSWPIN] = {"pswpin", .optional = true}, /* CONFIG_SWAP */
        [VMSTAT_PSWPOUT] = {"pswpout", .optional = true},
        [VMSTAT_REFAULT_ANON] = {"workingset_refault_anon"},
        [VMSTAT_REFAULT_FILE] = {"workingset_refault_file"},
        [VMSTAT_ACTIVATE_ANON] = {"workingset_activate_anon"},
        [VMSTAT_ACTIVATE_FILE] = {"workingset_activate_file"},
        [VMSTAT_OOM_KILL] = {"oom_kill"},
        [VMSTAT_BALLOON_INFLATE] = {"balloon_inflate", .optional = true}, /* CONFIG_MEMORY_BALLOON */
        [VMSTAT_BALLOON_DEFLATE] = {"balloon_deflate", .optional = true},
};

const CountersTable counters_meminfo = {
        .keys = meminfo_keys,
        .n_keys = ELEMENTSOF(meminfo_keys),
        .after_name = ":",
        .unit = " kB",
        .unit_bytes = KIB,
        .value_max = MEMORY_BYTES_MAX,
};

const CountersTable counters_held = {
        .keys = held_keys,
        .n_keys = ELEMENTSOF(held_keys),
        .after_name = ":",
        .unit = " kB",
        .unit_bytes = KIB,
        .value_max = MEMORY_BYTES_MAX,
};

const CountersTable counters_vmstat = {
        .keys = vmstat_keys,
        .n_keys = ELEMENTSOF(vmstat_keys),
        .after_name = "",
        .unit = "",
        .unit_bytes = 1,
        .value_max = UINT64_MAX,
};

_Static_assert(MEMINFO_KEY_MAX <= COUNTERS_KEYS_MAX, "order and found must hold every key");
_Static_assert(HELD_KEY_MAX <= COUNTERS_KEYS_MAX, "order and found must hold every key");
_Static_assert(VMSTAT_KEY_MAX <= COUNTERS_KEYS_MAX, "order and found must hold every key");

/* -- one pass -------------------------------------------------------------------------------------- */

/* Cuts the next line off the text. Returns false at its end. */
static bool next_line(const char **text, size_t *size, const char **ret_line, size_t *ret_length) {
        const char *newline;

        if (*size == 0)
                return false;

        newline = memchr(*text, '\n', *size);
        *ret_line = *text;
        *ret_length = newline ? (size_t) (newline - *text) : *size;
        *size -= newline ? *ret_length + 1 : *ret_length;
        *text += newline ? *ret_length + 1 : *ret_length;
        return true;
}

static size_t skip_blanks(const char *text, size_t size) {
        size_t n = 0;

        while (n < size && text[n] == ' ')
                n++;
        return n;
}

/* If the line bears the key's name, says where its value begins. */
static bool line_is(const CountersTable *table, unsigned key, const char *line, size_t length,
                    size_t *ret_at) {
        size_t n = strlen(table->keys[key].name), m = strlen(table->after_name);

        if (length <= n + m || memcmp(line, table->keys[key].name, n) != 0 ||
            memcmp(line + n, table->after_name, m) != 0 || line[n + m] != ' ')
                return false;

        *ret_at = n + m + skip_blanks(line + n + m, length - n - m);
        return true;
}

static void take_value(Counters *counters, const CountersTable *table, unsigned key, const char *text,
                       size_t size) {
        size_t n = strlen(table->unit);
        uint64_t value;

        if (size < n || memcmp(text + size - n, table->unit, n) != 0 ||
            parse_u64(text, size - n, &value) < 0 || value > table->value_max / table->unit_bytes)
                return;

        counters->value[key] = value * table->unit_bytes;
        counters->found |= UINT32_C(1) << key;
}

/* The text that the order was learnt from did not have all keys: has this one? */
static bool is_news(const Counters *counters, const CountersTable *table, const char *line, size_t length) {
        size_t at;

        for (uint32_t left = counters->unlearnt; left != 0; left &= left - 1)
                if (line_is(table, (unsigned) __builtin_ctz(left), line, length, &at))
                        return true;
        return false;
}

/* Returns true if the keys came in the order that is expected, and no other. */
static bool parse_in_order(Counters *counters, const CountersTable *table, const char *text, size_t size) {
        const char *line;
        size_t length, at;
        unsigned next = 0;

        while ((next < counters->n_order || counters->unlearnt != 0) &&
               next_line(&text, &size, &line, &length)) {
                if (next < counters->n_order && line_is(table, counters->order[next], line, length, &at))
                        take_value(counters, table, counters->order[next++], line + at, length - at);
                else if (is_news(counters, table, line, length))
                        return false;
        }
        return next == counters->n_order;
}

static void parse_by_search(Counters *counters, const CountersTable *table, const char *text, size_t size) {
        const char *line;
        size_t length, at;
        uint32_t seen = 0;

        counters->n_order = 0;

        while (next_line(&text, &size, &line, &length))
                for (unsigned key = 0; key < table->n_keys; key++) {
                        if ((seen & (UINT32_C(1) << key)) || !line_is(table, key, line, length, &at))
                                continue;
                        seen |= UINT32_C(1) << key;
                        counters->order[counters->n_order++] = (uint8_t) key;
                        take_value(counters, table, key, line + at, length - at);
                        break;
                }

        counters->unlearnt = ~seen & ((UINT32_C(1) << table->n_keys) - 1);
}

static void forget_values(Counters *counters) {
        counters->found = 0;
        memset(counters->value, 0, sizeof(counters->value));
}

uint32_t counters_parse(Counters *counters, const CountersTable *table, const char *text, size_t size) {
        uint32_t missing = 0;

        assert(counters);
        assert(table);
        assert(table->n_keys <= COUNTERS_KEYS_MAX);
        assert(text || size == 0);

        forget_values(counters);
        if (counters->n_order == 0 || !parse_in_order(counters, table, text, size)) {
                forget_values(counters);
                parse_by_search(counters, table, text, size);
        }

        for (unsigned key = 0; key < table->n_keys; key++)
                if (!table->keys[key].optional && !counters_has(counters, key))
                        missing |= UINT32_C(1) << key;
        return missing;
}

/* -- into the snapshot ----------------------------------------------------------------------------- */

bool counters_fill_meminfo(const Counters *meminfo, Snapshot *snapshot) {
        const uint64_t *value;

        assert(meminfo);
        assert(snapshot);

        if (!counters_has(meminfo, MEMINFO_TOTAL) || !counters_has(meminfo, MEMINFO_FREE) ||
            !counters_has(meminfo, MEMINFO_AVAILABLE))
                return false;

        value = meminfo->value;
        snapshot->total_bytes = value[MEMINFO_TOTAL];
        snapshot->free_bytes = u64_min(value[MEMINFO_FREE], value[MEMINFO_TOTAL]);
        snapshot->available_bytes = u64_min(value[MEMINFO_AVAILABLE], value[MEMINFO_TOTAL]);
        snapshot->active_file_bytes = value[MEMINFO_ACTIVE_FILE];
        snapshot->inactive_file_bytes = value[MEMINFO_INACTIVE_FILE];
        snapshot->swap_total_bytes = value[MEMINFO_SWAP_TOTAL];
        snapshot->swap_free_bytes = u64_min(value[MEMINFO_SWAP_FREE], value[MEMINFO_SWAP_TOTAL]);
        snapshot->swap_cached_bytes = value[MEMINFO_SWAP_CACHED];
        snapshot->slab_reclaimable_bytes = value[MEMINFO_SLAB_RECLAIMABLE];
        return true;
}

bool counters_fill_held(const Counters *held, Snapshot *snapshot) {
        uint64_t bytes = 0;

        assert(held);
        assert(snapshot);

        for (unsigned key = 0; key < HELD_KEY_MAX; key++) {
                if (!held_keys[key].optional && !counters_has(held, key))
                        return false;
                bytes = u64_add(bytes, held->value[key]);
        }
        snapshot->held_bytes = bytes;
        return true;
}

bool counters_fill_vmstat(const Counters *vmstat, Snapshot *snapshot) {
        const uint64_t *value;

        assert(vmstat);
        assert(snapshot);

        if (vmstat->found == 0)
                return false;

        value = vmstat->value;
        snapshot->pgscan_kswapd = value[VMSTAT_PGSCAN_KSWAPD];
        snapshot->pgscan_direct = value[VMSTAT_PGSCAN_DIRECT];
        snapshot->allocstall = 0;
        for (unsigned key = VMSTAT_ALLOCSTALL_DMA; key <= VMSTAT_ALLOCSTALL_MOVABLE; key++)
                snapshot->allocstall = u64_add(snapshot->allocstall, value[key]);
        snapshot->pswpin = value[VMSTAT_PSWPIN];
        snapshot->pswpout = value[VMSTAT_PSWPOUT];
        snapshot->workingset_refault = u64_add(value[VMSTAT_REFAULT_ANON], value[VMSTAT_REFAULT_FILE]);
        snapshot->workingset_activate = u64_add(value[VMSTAT_ACTIVATE_ANON], value[VMSTAT_ACTIVATE_FILE]);
        snapshot->oom_kill = value[VMSTAT_OOM_KILL];
        return true;
}
