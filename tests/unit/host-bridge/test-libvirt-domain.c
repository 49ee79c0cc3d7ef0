/* SPDX-License-Identifier: Apache-2.0 */

/* A domain's XML: that of a real one (libvirt 9.0), policies in metadata, and shapes that are not libvirt's. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "host-bridge/vmm/libvirt-domain.h"

#define HEAD "<domain><name>a</name><uuid>u</uuid>"
#define MEMORY                                                                                               \
        "<memory unit='KiB'>1572864</memory><devices><memory model='virtio-mem'><target>"                    \
        "<size unit='KiB'>1048576</size><block unit='KiB'>2048</block><requested "                           \
        "unit='KiB'>4096</requested>"                                                                        \
        "<current unit='KiB'>2048</current></target><alias name='vm0'/></memory></devices>"

static char *read_fixture(void) {
        _cleanup_fclose_ FILE *file = fopen(FIXTURES "/libvirt/domain.xml", "re");
        char *text = calloc(1, 65536);

        assert_non_null(file);
        assert_non_null(text);
        assert_true(fread(text, 1, 65535, file) > 0);
        return text;
}

static void test_real_domain(void **state) {
        _cleanup_free_ char *xml = read_fixture();
        LibvirtDomain domain;

        assert_int_equal(libvirt_domain_parse(xml, &domain), 0);
        assert_string_equal(domain.name, "vm");
        assert_int_equal(strlen(domain.uuid), LIBVIRT_UUID_MAX - 1);
        assert_true(domain.has_port);
        assert_string_equal(domain.channel,
                            "/var/lib/libvirt/qemu/channel/target/domain-2-vm/org.memtide.agent.0");
        assert_string_equal(domain.policy, "[VM]\nMin=256M\nMax=device\n");
        /* <memory> counts the DIMM and all of virtio-mem: 512 + 256 + 1024 MiB. */
        assert_int_equal(domain.model.boot_bytes, 512 * MIB);
        assert_int_equal(domain.model.dimm_bytes, 256 * MIB);
        assert_int_equal(domain.model.dimm[3].size_bytes, 256 * MIB);
        assert_int_equal(domain.model.dimm[3].address, 0x140000000);
        assert_true(domain.has_numa);
        assert_int_equal(domain.model.n_virtio_mem, 1);
        assert_string_equal(domain.model.virtio_mem[0].id, "virtiomem0");
        assert_int_equal(domain.model.virtio_mem[0].max_bytes, GIB);
        assert_int_equal(domain.model.virtio_mem[0].block_bytes, 2 * MIB);
        assert_int_equal(domain.model.virtio_mem[0].requested_bytes, 512 * MIB);
        assert_int_equal(domain.model.virtio_mem[0].size_bytes, 512 * MIB);
        assert_true(domain.model.has_balloon);
        /* maxMemory of 6 GiB and 4 slots, less what is there. */
        assert_int_equal(domain.model.room_bytes, 6 * GIB - 1792 * MIB);
        assert_int_equal(domain.model.free_slots, 3);
        assert_int_equal(domain.n_unusable, 0);
}

static void test_request(void **state) {
        _cleanup_free_ char *xml = read_fixture();
        _cleanup_free_ char *element = NULL;
        char *requested;

        assert_int_equal(libvirt_domain_request(xml, "virtiomem1", MIB, &element), -ENODEV);
        assert_int_equal(libvirt_domain_request("<domain", "virtiomem0", MIB, &element), -EBADMSG);
        assert_int_equal(libvirt_domain_request(xml, "virtiomem0", 384 * MIB, &element), 0);
        assert_int_equal(strncmp(element, "<memory model=\"virtio-mem\">", 27), 0);
        requested = strstr(element, "<requested unit=\"KiB\">393216</requested>");
        assert_non_null(requested);
        assert_non_null(strstr(element, "<size unit=\"KiB\">1048576</size>"));
        assert_non_null(strstr(element, "<alias name=\"virtiomem0\"/>"));
        assert_null(strstr(element, "model=\"dimm\""));
}

static void test_policies(void **state) {
        static const struct {
                const char *metadata, *policy;
        } cases[] = {
                {"", ""},
                {"<other/>", ""},
                {"<policy min='1G'/>", ""}, /* of nobody's namespace */
                {"<m:policy xmlns:m='https://memtide.org/xmlns/policy/2' min='1G'/>", ""},
                {"<m:policy xmlns:m='" LIBVIRT_NAMESPACE "'/>", "[VM]\n"},
                {"<policy xmlns='" LIBVIRT_NAMESPACE "' max='2G' mode='shadow'/>",
                 "[VM]\nMax=2G\nMode=shadow\n"},
                {"<m:policy xmlns:m='" LIBVIRT_NAMESPACE "' min='1&#10;Max=device'/>",
                 "[VM]\nMin=1?Max=device\n"},
                {"<m:policy xmlns:m='" LIBVIRT_NAMESPACE "' min='1M'/>"
                 "<m:policy xmlns:m='" LIBVIRT_NAMESPACE "' min='2M'/>",
                 "[VM]\nMin=1M\n"},
        };
        LibvirtDomain domain;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char xml[2048];

                (void) snprintf(xml, sizeof(xml), HEAD MEMORY "<metadata>%s</metadata></domain>",
                                cases[i].metadata);
                assert_int_equal(libvirt_domain_parse(xml, &domain), 0);
                assert_string_equal(domain.policy, cases[i].policy);
        }
}

static void test_overlong_policy(void **state) {
        _cleanup_free_ char *value = malloc(LIBVIRT_POLICY_MAX + 1), *xml = malloc(8192);
        LibvirtDomain domain;

        assert_true(value && xml);
        memset(value, '1', LIBVIRT_POLICY_MAX);
        value[LIBVIRT_POLICY_MAX] = '\0';
        (void) snprintf(xml, 8192,
                        HEAD MEMORY "<metadata><p:policy xmlns:p='%s' min='%s'/></metadata></domain>",
                        LIBVIRT_NAMESPACE, value);
        assert_int_equal(libvirt_domain_parse(xml, &domain), 0);
        assert_string_equal(domain.policy, "[VM]\nMax=too-long\n");
}

static void test_ports(void **state) {
        static const struct {
                const char *channel;
                bool has_port;
                const char *path;
        } cases[] = {
                {"", false, ""},
                {"<channel type='unix'><source path='/p'/><target type='virtio' name='" LIBVIRT_PORT
                 "'/></channel>",
                 true, "/p"},
                {"<channel type='unix'><source path='/p'/><target type='virtio' name='other'/></channel>",
                 false, ""},
                {"<channel type='pty'><source path='/dev/pts/1'/><target type='virtio' name='" LIBVIRT_PORT
                 "'/></channel>",
                 true, ""},
                {"<channel type='unix'><target type='virtio' name='" LIBVIRT_PORT "'/></channel>", true, ""},
        };
        LibvirtDomain domain;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char xml[2048];

                (void) snprintf(xml, sizeof(xml),
                                HEAD "<memory unit='KiB'>524288</memory><devices>%s<memballoon model='none'/>"
                                     "</devices></domain>",
                                cases[i].channel);
                assert_int_equal(libvirt_domain_parse(xml, &domain), 0);
                assert_int_equal(domain.has_port, cases[i].has_port);
                assert_string_equal(domain.channel, cases[i].path);
                assert_false(domain.model.has_balloon);
                assert_int_equal(domain.model.boot_bytes, 512 * MIB);
        }
}

/* Which DIMM is ours to pull. */
static void test_dimms(void **state) {
        static const struct {
                const char *tail;
                unsigned number; /* MEMORY_MODEL_DIMMS_MAX: nobody's */
                uint64_t address;
        } cases[] = {
                {"<alias name='ua-memtide-dimm0'/><address type='dimm' base='0x140000000'/>", 0, 0x140000000},
                {"<alias name='ua-memtide-dimm15'/><address type='dimm' base='0x8000000'/>", 15, 0x8000000},
                {"<alias name='ua-memtide-dimm16'/><address type='dimm' base='0x8000000'/>", 16, 0},
                {"<alias name='memtide-dimm0'/><address type='dimm' base='0x8000000'/>", 16, 0},
                {"<alias name='dimm0'/><address type='dimm' base='0x8000000'/>", 16, 0},
                {"<alias name='ua-memtide-dimm0'/>", 16, 0},
                {"<alias name='ua-memtide-dimm0'/><address type='dimm' slot='0'/>", 16, 0},
                {"<alias name='ua-memtide-dimm0'/><address type='pci' base='0x8000000'/>", 16, 0},
                {"<alias name='ua-memtide-dimm0'/><address type='dimm' base='0xffffffffffffffff'/>", 16, 0},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                LibvirtDomain domain;
                char xml[2048];

                (void) snprintf(xml, sizeof(xml),
                                HEAD
                                "<memory unit='KiB'>655360</memory><devices><memory model='dimm'><target>"
                                "<size unit='KiB'>131072</size></target>%s</memory></devices></domain>",
                                cases[i].tail);
                assert_int_equal(libvirt_domain_parse(xml, &domain), 0);
                assert_int_equal(domain.model.dimm_bytes, 128 * MIB);
                assert_false(domain.has_numa);
                for (unsigned j = 0; j < MEMORY_MODEL_DIMMS_MAX; j++)
                        if (domain.model.dimm[j].size_bytes != (j == cases[i].number ? 128 * MIB : 0) ||
                            domain.model.dimm[j].address != (j == cases[i].number ? cases[i].address : 0))
                                fail_msg("%s", cases[i].tail);
        }
}

static void test_new_dimm(void **state) {
        char element[LIBVIRT_DOMAIN_DIMM_MAX];

        libvirt_domain_dimm(&(LibvirtDomain){.has_numa = true}, 15, 256 * MIB, element);
        assert_string_equal(
                element, "<memory model='dimm'><target><size unit='KiB'>262144</size><node>0</node></target>"
                         "<alias name='ua-memtide-dimm15'/></memory>");
        libvirt_domain_dimm(&(LibvirtDomain){}, 0, 128 * MIB, element);
        assert_null(strstr(element, "<node>"));
}

static void test_bad_shapes(void **state) {
        static const char *const cases[] = {
                "",
                "no XML",
                "<domain/>",
                "<!DOCTYPE domain [<!ENTITY a 'x'>]>" HEAD "<memory unit='KiB'>524288</memory></domain>",
                "<domain><name>a</name></domain>",
                HEAD "</domain>",
                HEAD "<memory>1</memory></domain>",
                HEAD "<memory unit='MiB'>1</memory></domain>",
                HEAD "<memory unit='KiB'>-1</memory></domain>",
                HEAD "<memory unit='KiB'>99999999999999999999</memory></domain>",
                HEAD "<memory unit='KiB'>524288</memory><devices><memory model='dimm'/></devices></domain>",
                HEAD "<memory unit='KiB'>524288</memory><devices><memory model='virtio-mem'><target>"
                     "<size unit='KiB'>1024</size></target></memory></devices></domain>",
        };
        LibvirtDomain domain;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (libvirt_domain_parse(cases[i], &domain) != -EBADMSG)
                        fail_msg("%s", cases[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_real_domain), cmocka_unit_test(test_request),
                cmocka_unit_test(test_policies),    cmocka_unit_test(test_overlong_policy),
                cmocka_unit_test(test_ports),       cmocka_unit_test(test_bad_shapes),
                cmocka_unit_test(test_dimms),       cmocka_unit_test(test_new_dimm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
