/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Passed through is every QOM type with vfio in its name (vfio-pci, vfio-pci-nohotplug, vfio-ap, vhost-vfio). Whether a
 * backend uses huge pages no query says for all kinds of them, so the process is asked for what it has of them.
 */

#include "host-bridge/vmm/qmp-facts.h"

#include <assert.h>
#include <string.h>

#include "common/macro.h"
#include "common/parse.h"

static unsigned small_number(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);
        json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;

        return number > 0 && number < 1000 ? (unsigned) number : 0;
}

void qmp_facts_read_version(const json_t *value, VmmFacts *facts) {
        const json_t *version = json_object_get(value, "qemu");

        assert(facts);

        facts->qemu_major = small_number(version, "major");
        facts->qemu_minor = small_number(version, "minor");
}

void qmp_facts_read_devices(const json_t *value, VmmFacts *facts) {
        const json_t *item;
        size_t i;

        assert(facts);

        json_array_foreach((json_t *) value, i, item) {
                const char *type = json_string_value(json_object_get(item, "type"));

                if (type && strncmp(type, "child<", STRLEN("child<")) == 0 && strstr(type, "vfio"))
                        facts->n_vfio++;
        }
}

void qmp_facts_read_backends(const json_t *value, VmmFacts *facts) {
        const json_t *item;
        size_t i;

        assert(facts);

        json_array_foreach((json_t *) value, i, item) facts->preallocated =
                facts->preallocated || json_is_true(json_object_get(item, "prealloc"));
}

/* "\nNAME:   123 kB" */
static uint64_t find_kib(const char *status, const char *name) {
        const char *line = strstr(status, name);
        uint64_t kib = 0;

        if (!line)
                return 0;
        line += strlen(name);
        line += strspn(line, " \t");
        if (parse_u64(line, strspn(line, "0123456789"), &kib) < 0)
                return 0;
        return u64_mul(kib, KIB);
}

void qmp_facts_read_process(const char *status, VmmFacts *facts) {
        assert(status);
        assert(facts);

        facts->locked_bytes = find_kib(status, "\nVmLck:");
        facts->hugetlb_bytes = find_kib(status, "\nHugetlbPages:");
}
