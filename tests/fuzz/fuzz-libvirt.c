/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A domain's XML, part of which people and other programs write (metadata, aliases, paths). What is accepted is within
 * bounds; its policy is a file of vm.d with one line per attribute, whatever stands in them; and the element that is sent
 * back for a device is that device, with nothing changed but the request.
 */

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "host-bridge/vmm/libvirt-domain.h"

static void check_text(const char *text, size_t size) {
        FUZZ_CHECK(memchr(text, '\0', size) != NULL);
}

static void check_policy(const char *policy) {
        const char *line = policy;

        check_text(policy, LIBVIRT_POLICY_MAX);
        if (policy[0] == '\0')
                return;
        FUZZ_CHECK(strncmp(policy, "[VM]\n", 5) == 0);
        for (line += 5; *line != '\0'; line = strchr(line, '\n') + 1) {
                const char *end = strchr(line, '\n'), *sign = strchr(line, '=');

                FUZZ_CHECK(end && sign && sign < end && sign > line);
                for (const char *c = line; c < end; c++)
                        FUZZ_CHECK((unsigned char) *c >= ' ');
        }
}

static void check_model(const MemoryModel *model) {
        uint64_t ours = 0;

        FUZZ_CHECK(model->n_virtio_mem <= MEMORY_MODEL_DEVICES_MAX);
        FUZZ_CHECK(model->boot_bytes <= MEMORY_BYTES_MAX && model->room_bytes <= MEMORY_BYTES_MAX);
        for (unsigned i = 0; i < model->n_virtio_mem; i++) {
                const VirtioMem *device = &model->virtio_mem[i];

                check_text(device->id, sizeof(device->id));
                FUZZ_CHECK(device->id[0] != '\0');
                FUZZ_CHECK(device->size_bytes <= MEMORY_BYTES_MAX && device->max_bytes <= MEMORY_BYTES_MAX);
                FUZZ_CHECK(device->requested_bytes <= MEMORY_BYTES_MAX &&
                           device->block_bytes <= MEMORY_BYTES_MAX);
        }
        for (unsigned i = 0; i < MEMORY_MODEL_DIMMS_MAX; i++) {
                ours = u64_add(ours, model->dimm[i].size_bytes);
                FUZZ_CHECK(model->dimm[i].address <= MEMORY_BYTES_MAX);
                FUZZ_CHECK(!model->dimm[i].stuck);
        }
        FUZZ_CHECK(ours <= model->dimm_bytes);
        FUZZ_CHECK(!model->has_balloon || model->balloon_actual_bytes == 0);
}

/* The element alone, in a domain of its own. */
static void check_request(const char *xml, const VirtioMem *device) {
        static const uint64_t requested_bytes = 6 * MIB;
        _cleanup_free_ char *element = NULL, *domain = NULL;
        static LibvirtDomain again;
        const VirtioMem *found = again.model.virtio_mem;

        if (libvirt_domain_request(xml, device->id, requested_bytes, &element) < 0)
                return;
        FUZZ_CHECK(asprintf(&domain,
                            "<domain><name>a</name><uuid>u</uuid><memory unit='KiB'>0</memory>"
                            "<devices>%s</devices></domain>",
                            element) > 0);
        FUZZ_CHECK(libvirt_domain_parse(domain, &again) == 0);
        FUZZ_CHECK(again.model.n_virtio_mem == 1 && again.model.dimm_bytes == 0);
        FUZZ_CHECK(strcmp(found->id, device->id) == 0);
        FUZZ_CHECK(found->requested_bytes == requested_bytes);
        FUZZ_CHECK(found->max_bytes == device->max_bytes && found->block_bytes == device->block_bytes &&
                   found->size_bytes == device->size_bytes);
}

static bool is_only_one_of_its_name(const MemoryModel *model, unsigned i) {
        for (unsigned j = 0; j < model->n_virtio_mem; j++)
                if (j != i && strcmp(model->virtio_mem[i].id, model->virtio_mem[j].id) == 0)
                        return false;
        return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *xml = malloc(size + 1), *element = NULL;
        static LibvirtDomain domain, again;
        int r;

        FUZZ_CHECK(xml != NULL);
        if (size > 0)
                memcpy(xml, data, size);
        xml[size] = '\0';

        r = libvirt_domain_parse(xml, &domain);
        FUZZ_CHECK(r == 0 || r == -EBADMSG);
        if (r < 0) {
                (void) libvirt_domain_request(xml, "virtiomem0", MIB, &element);
                return 0;
        }

        check_text(domain.uuid, sizeof(domain.uuid));
        check_text(domain.name, sizeof(domain.name));
        check_text(domain.channel, sizeof(domain.channel));
        FUZZ_CHECK(domain.uuid[0] != '\0' && domain.name[0] != '\0');
        check_policy(domain.policy);
        check_model(&domain.model);
        for (unsigned i = 0; i < domain.model.n_virtio_mem; i++)
                if (is_only_one_of_its_name(&domain.model, i))
                        check_request(xml, &domain.model.virtio_mem[i]);

        /* Models are compared as bytes. */
        memset(&again, 0xff, sizeof(again));
        FUZZ_CHECK(libvirt_domain_parse(xml, &again) == 0 && memcmp(&domain, &again, sizeof(domain)) == 0);
        return 0;
}
