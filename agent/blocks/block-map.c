/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whose memory a block is. A DIMM's block links to its ACPI device (PNP0C80); a virtio-mem block links to
 * nothing, but its range bears the driver's name in /proc/iomem, below the range of the whole device. Boot
 * memory has neither, and so has what another hypervisor's balloon adds: kind OTHER, which nobody here touches.
 *
 * The kernel shows zeroes for every address in /proc/iomem to a reader without CAP_SYS_ADMIN, and the agent is
 * meant to run without. For that case the firmware's map serves: it holds boot memory and DIMMs and never
 * virtio-mem (the driver adds its memory as driver-managed), so memory that it does not hold is virtio-mem's,
 * if the machine has such a device. A DIMM that is just being added is in neither place for some milliseconds,
 * and looks the same: has_dimm says that a block may be one.
 */

#include <assert.h>
#include <string.h>

#include "agent/blocks/block.h"
#include "agent/signals/virtio.h"
#include "common/log.h"
#include "common/macro.h"
#include "common/parse.h"
#include "common/units.h"

#define IOMEM_PATH     "proc/iomem"
#define IOMEM_SIZE_MIN ((size_t) 64 * 1024)
#define IOMEM_SIZE_MAX ((size_t) 8 * 1024 * 1024)
#define IOMEM_DEPTH    8U /* the kernel prints five levels */

#define MEMMAP_PATH "sys/firmware/memmap"

typedef struct Resource { /* one line of proc/iomem */
        unsigned depth;
        BlockRange range;
        const char *name;
        size_t name_size;
} Resource;

/* "  100000000-13fffffff : System RAM (virtio_mem)". Returns 0 or -EINVAL. */
static int resource_parse(const char *line, size_t size, Resource *ret) {
        const char *dash, *colon;
        Resource resource = {};
        size_t blanks = 0;

        while (blanks < size && line[blanks] == ' ')
                blanks++;
        line += blanks;
        size -= blanks;
        resource.depth = (unsigned) (blanks / 2);

        dash = memchr(line, '-', size);
        colon = memmem(line, size, " : ", STRLEN(" : "));
        if (!dash || !colon || dash > colon)
                return -EINVAL;
        if (parse_hex_u64(line, (size_t) (dash - line), &resource.range.start) < 0 ||
            parse_hex_u64(dash + 1, (size_t) (colon - dash) - 1, &resource.range.end) < 0 ||
            resource.range.start > resource.range.end)
                return -EINVAL;

        resource.name = colon + STRLEN(" : ");
        resource.name_size = size - (size_t) (resource.name - line);
        *ret = resource;
        return 0;
}

static bool name_is(const Resource *resource, const char *name) {
        return resource->name_size == strlen(name) && memcmp(resource->name, name, resource->name_size) == 0;
}

/* "virtio4": the whole region of the device, in which memory comes and goes. */
static bool name_is_device(const Resource *resource) {
        size_t n = STRLEN("virtio");
        uint64_t ignored;

        return resource->name_size > n && memcmp(resource->name, "virtio", n) == 0 &&
               parse_u64(resource->name + n, resource->name_size - n, &ignored) >= 0;
}

static void add_range(BlockMap *map, BlockRange range) {
        const BlockRange *last = map->n_ranges > 0 ? &map->ranges[map->n_ranges - 1] : NULL;

        if (last && range.start >= last->start && range.end <= last->end)
                return;
        if (map->n_ranges < BLOCK_RANGES_MAX)
                map->ranges[map->n_ranges++] = range;
}

void block_map_parse(const char *text, size_t size, BlockMap *ret) {
        Resource parents[IOMEM_DEPTH] = {};

        assert(text || size == 0);
        assert(ret);

        *ret = (BlockMap){};

        while (size > 0) {
                const char *newline = memchr(text, '\n', size), *line = text;
                size_t length = newline ? (size_t) (newline - text) : size;
                Resource resource;

                text += newline ? length + 1 : length;
                size -= newline ? length + 1 : length;
                if (resource_parse(line, length, &resource) < 0 || resource.depth >= IOMEM_DEPTH)
                        continue;
                parents[resource.depth] = resource;

                if (name_is(&resource, "System RAM")) {
                        ret->has_ram = true;
                        ret->hidden = ret->hidden || resource.range.end == 0;
                }
                if (!name_is(&resource, "System RAM (virtio_mem)"))
                        continue;
                ret->has_ram = ret->has_virtio_mem = true;
                if (resource.depth > 0 && name_is_device(&parents[resource.depth - 1]))
                        resource = parents[resource.depth - 1];
                add_range(ret, resource.range);
        }
}

/* -- the firmware's map ---------------------------------------------------------------------------- */

static int memmap_value(const RootDir *root, const char *name, const char *attribute, uint64_t *ret) {
        char path[256 + 64], text[32];
        ssize_t n;

        (void) snprintf(path, sizeof(path), MEMMAP_PATH "/%s/%s", name, attribute);
        n = rootdir_read_line(root, path, text, sizeof(text));
        if (n >= 0 && parse_hex_u64(text, (size_t) n, ret) < 0)
                n = -EBADMSG;
        if (n < 0)
                log_unusable(path, (int) n, "the firmware's map");
        return n < 0 ? (int) n : 0;
}

/* Every range counts, whatever its type: none of them is virtio-mem's. */
static int memmap_read(const RootDir *root, BlockMap *map) {
        _cleanup_(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = rootdir_opendir(root, MEMMAP_PATH, &dir);
        if (r < 0)
                return r;

        while (errno = 0, entry = readdir(dir)) {
                BlockRange range;

                if (entry->d_name[0] == '.')
                        continue;
                r = memmap_value(root, entry->d_name, "start", &range.start);
                if (r >= 0)
                        r = memmap_value(root, entry->d_name, "end", &range.end);
                if (r < 0)
                        return r; /* with a hole, boot memory would be taken for virtio-mem's */
                if (map->n_ranges == BLOCK_RANGES_MAX)
                        return -EFBIG; /* no holes here either */
                map->ranges[map->n_ranges++] = range;
        }
        return -errno;
}

static int read_hidden(const RootDir *root, BlockMap *map) {
        int r;

        *map = (BlockMap){.hidden = true};

        r = virtio_find(root, VIRTIO_ID_MEM, NULL);
        if (r < 0)
                return r;
        map->has_virtio_mem = r > 0;
        if (!map->has_virtio_mem)
                return 0;

        r = block_any_dimm(root);
        if (r < 0)
                return r;
        map->has_dimm = r > 0;
        return memmap_read(root, map);
}

int block_map_read(const RootDir *root, BlockMap *ret) {
        BlockMap map;
        ssize_t n = -EFBIG;

        assert(root);
        assert(ret);

        for (size_t size = IOMEM_SIZE_MIN; n == -EFBIG && size <= IOMEM_SIZE_MAX; size *= 4) {
                _cleanup_free_ char *text = malloc(size);

                if (!text)
                        return -ENOMEM;
                n = rootdir_read(root, IOMEM_PATH, text, size);
                if (n >= 0)
                        block_map_parse(text, (size_t) n, &map);
        }
        if (n < 0)
                return (int) n;
        if (!map.has_ram) /* every machine has some */
                return -EBADMSG;

        if (map.hidden) {
                int r = read_hidden(root, &map);

                if (r < 0)
                        return r;
        }
        *ret = map;
        return 0;
}

/* -- one block ------------------------------------------------------------------------------------- */

static bool is_virtio_mem(const BlockMap *map, uint64_t start, uint64_t end) {
        for (size_t i = 0; i < map->n_ranges; i++) {
                const BlockRange *range = &map->ranges[i];

                if (!map->hidden && start >= range->start && end <= range->end)
                        return true;
                if (map->hidden && start <= range->end && end >= range->start)
                        return false;
        }
        return map->hidden && map->has_virtio_mem;
}

int block_kind_read(const RootDir *root, uint64_t number, uint64_t block_size_bytes, const BlockMap *map,
                    BlockKind *ret) {
        uint64_t start, identity;
        int r;

        assert(root);
        assert(map);
        assert(ret);
        assert(block_size_bytes > 0);

        r = block_is_dimm(root, number);
        if (r < 0)
                return r;
        if (r == 0) { /* no link: is there a block at all? */
                r = block_identity_read(root, number, &identity);
                if (r < 0)
                        return r;
                start = u64_mul(number, block_size_bytes);
                *ret = is_virtio_mem(map, start, u64_add(start, block_size_bytes - 1)) ? BLOCK_KIND_VIRTIO_MEM
                                                                                       : BLOCK_KIND_OTHER;
                return 0;
        }

        *ret = BLOCK_KIND_DIMM;
        return 0;
}
