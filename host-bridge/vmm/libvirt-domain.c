/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Boot RAM is what <memory> leaves when every memory device is subtracted: libvirt counts them all in it, virtio-mem
 * with its largest size. <currentMemory> is not read: it has plugged virtio-mem in it, and follows QEMU's events, one a
 * second (libvirt 9.0: 669 MiB where QEMU had 656). The balloon's size is virDomainMemoryStats()'s.
 */

#include "host-bridge/vmm/libvirt-domain.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/macro.h"
#include "common/parse.h"
#include "host-bridge/vmm/dimm-name.h"

#define SLOTS_MAX 256U /* of QEMU */
#define PORT_PATH "/domain/devices/channel[target/@type='virtio' and target/@name='" LIBVIRT_PORT "']"

typedef struct Document {
        xmlDocPtr xml;
        xmlXPathContextPtr context;
} Document;

static void document_done(Document *document) {
        if (document->context)
                xmlXPathFreeContext(document->context);
        if (document->xml)
                xmlFreeDoc(document->xml);
}

static int document_open(const char *text, Document *ret) {
        ret->xml = xmlReadMemory(text, (int) strlen(text), NULL, NULL,
                                 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
        /* libvirt prints no document type: entities would be expanded here, and not be there where a part is sent back. */
        if (!ret->xml || ret->xml->intSubset)
                return -EBADMSG;
        ret->context = xmlXPathNewContext(ret->xml);
        if (!ret->context || xmlXPathRegisterNs(ret->context, BAD_CAST "m", BAD_CAST LIBVIRT_NAMESPACE) < 0)
                return -ENOMEM;
        return 0;
}

/* Below node (NULL: the document). NULL: no memory, or nothing of ours. */
static xmlXPathObjectPtr find(const Document *document, xmlNodePtr node, const char *path) {
        document->context->node = node ?: (xmlNodePtr) document->xml;
        return xmlXPathEvalExpression(BAD_CAST path, document->context);
}

/* The text of the first node that path finds, whole. Returns its length, 0 if there is none, or -ERANGE. */
static int text_of(const Document *document, xmlNodePtr node, const char *path, char *buffer, size_t size) {
        xmlXPathObjectPtr found = find(document, node, path);
        xmlChar *text = found ? xmlXPathCastToString(found) : NULL;
        int n = snprintf(buffer, size, "%s", text ? (const char *) text : "");

        if (n < 0 || (size_t) n >= size) {
                buffer[0] = '\0';
                n = -ERANGE;
        }
        if (text)
                xmlFree(text);
        if (found)
                xmlXPathFreeObject(found);
        return n;
}

/* libvirt prints sizes in KiB, and says so. */
static int size_of(const Document *document, xmlNodePtr node, const char *path, uint64_t *ret_bytes) {
        char query[128], text[32];
        uint64_t kib;
        int r;

        (void) snprintf(query, sizeof(query), "%s[@unit='KiB']", path);
        r = text_of(document, node, query, text, sizeof(text));
        if (r <= 0 || parse_u64(text, (size_t) r, &kib) < 0 || kib > MEMORY_BYTES_MAX / KIB)
                return -EBADMSG;
        *ret_bytes = kib * KIB;
        return 0;
}

static int read_virtio_mem(const Document *document, xmlNodePtr node, LibvirtDomain *ret) {
        VirtioMem device = {};
        int r, n;

        r = size_of(document, node, "target/size", &device.max_bytes);
        if (r >= 0)
                r = size_of(document, node, "target/block", &device.block_bytes);
        if (r >= 0)
                r = size_of(document, node, "target/requested", &device.requested_bytes);
        if (r >= 0)
                r = size_of(document, node, "target/current", &device.size_bytes);
        if (r < 0)
                return r;

        n = text_of(document, node, "alias/@name", device.id, sizeof(device.id));
        if (n <= 0 || ret->model.n_virtio_mem >= MEMORY_MODEL_DEVICES_MAX)
                ret->n_unusable++;
        else
                ret->model.virtio_mem[ret->model.n_virtio_mem++] = device;
        return 0;
}

/* One of ours, by its alias. Where the guest sees it libvirt knows from QEMU; without that it is nobody's to pull. */
static void read_dimm(const Document *document, xmlNodePtr node, uint64_t bytes, LibvirtDomain *ret) {
        char alias[MEMORY_MODEL_ID_MAX], base[32];
        int n = text_of(document, node, "address[@type='dimm']/@base", base, sizeof(base));
        unsigned number = MEMORY_MODEL_DIMMS_MAX;
        uint64_t address;

        (void) text_of(document, node, "alias/@name", alias, sizeof(alias));
        if (strncmp(alias, LIBVIRT_ALIAS_PREFIX, STRLEN(LIBVIRT_ALIAS_PREFIX)) == 0)
                number = dimm_name_number(alias + STRLEN(LIBVIRT_ALIAS_PREFIX));
        if (number < MEMORY_MODEL_DIMMS_MAX && n > 0 && parse_hex_u64(base, (size_t) n, &address) >= 0 &&
            address <= MEMORY_BYTES_MAX)
                ret->model.dimm[number] = (Dimm){.size_bytes = bytes, .address = address};
}

static int read_device(const Document *document, xmlNodePtr node, LibvirtDomain *ret,
                       uint64_t *others_bytes) {
        char model[32];
        bool dimm;
        uint64_t bytes;
        int r;

        r = size_of(document, node, "target/size", &bytes);
        if (r < 0)
                return r;
        *others_bytes = u64_add(*others_bytes, bytes);

        (void) text_of(document, node, "@model", model, sizeof(model));
        dimm = strcmp(model, "dimm") == 0;
        if (dimm || strcmp(model, "nvdimm") == 0)
                ret->model.free_slots -= ret->model.free_slots > 0;
        if (dimm) {
                ret->model.dimm_bytes = u64_add(ret->model.dimm_bytes, bytes);
                read_dimm(document, node, bytes, ret);
        } else if (strcmp(model, "virtio-mem") == 0)
                return read_virtio_mem(document, node, ret);
        return 0;
}

static int compare_ids(const void *a, const void *b) {
        return strcmp(((const VirtioMem *) a)->id, ((const VirtioMem *) b)->id);
}

/* For DIMMs, taken or not; 0: none, or it does not say. */
static unsigned slots_of(const Document *document) {
        char text[32];
        uint64_t n;
        int r = text_of(document, NULL, "/domain/maxMemory/@slots", text, sizeof(text));

        return r > 0 && parse_u64(text, (size_t) r, &n) >= 0 ? (unsigned) u64_min(n, SLOTS_MAX) : 0;
}

static int read_memory(const Document *document, LibvirtDomain *ret) {
        xmlXPathObjectPtr devices = find(document, NULL, "/domain/devices/memory");
        uint64_t total_bytes, others_bytes = 0, max_bytes = 0;
        char balloon[32];
        int r;

        if (!devices)
                return -ENOMEM;
        ret->model.free_slots = slots_of(document);
        r = size_of(document, NULL, "/domain/memory", &total_bytes);
        for (int i = 0; r >= 0 && devices->nodesetval && i < devices->nodesetval->nodeNr; i++)
                r = read_device(document, devices->nodesetval->nodeTab[i], ret, &others_bytes);
        xmlXPathFreeObject(devices);
        if (r < 0)
                return r;

        if (size_of(document, NULL, "/domain/maxMemory", &max_bytes) >= 0)
                ret->model.room_bytes = u64_sub(max_bytes, total_bytes);
        ret->model.boot_bytes = u64_sub(total_bytes, others_bytes);
        qsort(ret->model.virtio_mem, ret->model.n_virtio_mem, sizeof(ret->model.virtio_mem[0]), compare_ids);
        (void) text_of(document, NULL, "/domain/devices/memballoon/@model", balloon, sizeof(balloon));
        ret->model.has_balloon = strncmp(balloon, "virtio", STRLEN("virtio")) == 0;
        return 0;
}

/* min="512M" becomes Min=512M: what a file of vm.d knows, metadata knows, and one table checks both. */
static bool append_attribute(xmlAttrPtr attribute, char *buffer, size_t size) {
        xmlChar *value = xmlNodeListGetString(attribute->doc, attribute->children, 1);
        size_t used = strlen(buffer);
        int n;

        for (xmlChar *c = value; c && *c != '\0'; c++)
                if (*c < ' ')
                        *c = '?'; /* a line break would be another key */
        n = snprintf(buffer + used, size - used, "%c%s=%s\n", toupper(attribute->name[0]),
                     (const char *) attribute->name + 1, value ? (const char *) value : "");
        if (value)
                xmlFree(value);
        return n >= 0 && (size_t) n < size - used;
}

static int read_policy(const Document *document, LibvirtDomain *ret) {
        xmlXPathObjectPtr found = find(document, NULL, "/domain/metadata/m:policy[1]");

        if (!found)
                return -ENOMEM;
        if (!xmlXPathNodeSetIsEmpty(found->nodesetval)) {
                (void) snprintf(ret->policy, sizeof(ret->policy), "[VM]\n");
                for (xmlAttrPtr a = found->nodesetval->nodeTab[0]->properties; a; a = a->next)
                        if (!append_attribute(a, ret->policy, sizeof(ret->policy))) {
                                /* No size: whoever reads it complains, and the VM is only observed. */
                                (void) snprintf(ret->policy, sizeof(ret->policy), "[VM]\nMax=too-long\n");
                                break;
                        }
        }
        xmlXPathFreeObject(found);
        return 0;
}

static int read_port(const Document *document, LibvirtDomain *ret) {
        xmlXPathObjectPtr port = find(document, NULL, PORT_PATH);

        if (!port)
                return -ENOMEM;
        ret->has_port = !xmlXPathNodeSetIsEmpty(port->nodesetval);
        xmlXPathFreeObject(port);
        (void) text_of(document, NULL, PORT_PATH "[@type='unix']/source/@path", ret->channel,
                       sizeof(ret->channel));
        return 0;
}

static int read_numa(const Document *document, LibvirtDomain *ret) {
        xmlXPathObjectPtr cells = find(document, NULL, "/domain/cpu/numa/cell");

        if (!cells)
                return -ENOMEM;
        ret->has_numa = !xmlXPathNodeSetIsEmpty(cells->nodesetval);
        xmlXPathFreeObject(cells);
        return 0;
}

int libvirt_domain_parse(const char *xml, LibvirtDomain *ret) {
        _cleanup_(document_done) Document document = {};
        int r;

        memset(ret, 0, sizeof(*ret)); /* padding too: models are compared as bytes */
        r = document_open(xml, &document);
        if (r < 0)
                return r;
        if (text_of(&document, NULL, "/domain/name", ret->name, sizeof(ret->name)) <= 0 ||
            text_of(&document, NULL, "/domain/uuid", ret->uuid, sizeof(ret->uuid)) <= 0)
                return -EBADMSG;
        r = read_port(&document, ret);
        if (r >= 0)
                r = read_policy(&document, ret);
        if (r >= 0)
                r = read_numa(&document, ret);
        return r >= 0 ? read_memory(&document, ret) : r;
}

static int print(const Document *document, xmlNodePtr node, char **ret) {
        xmlBufferPtr buffer = xmlBufferCreate();
        char *text = NULL;

        if (buffer && xmlNodeDump(buffer, document->xml, node, 0, 0) >= 0)
                text = strdup((const char *) xmlBufferContent(buffer));
        if (buffer)
                xmlBufferFree(buffer);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}

static int request(const Document *document, xmlNodePtr device, uint64_t requested_bytes, char **ret) {
        xmlXPathObjectPtr requested = find(document, device, "target/requested[@unit='KiB']");
        char text[32];
        int r = -EBADMSG;

        if (!requested)
                return -ENOMEM;
        if (!xmlXPathNodeSetIsEmpty(requested->nodesetval)) {
                (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) (requested_bytes / KIB));
                xmlNodeSetContent(requested->nodesetval->nodeTab[0], BAD_CAST text);
                r = print(document, device, ret);
        }
        xmlXPathFreeObject(requested);
        return r;
}

int libvirt_domain_request(const char *xml, const char *alias, uint64_t requested_bytes, char **ret) {
        _cleanup_(document_done) Document document = {};
        xmlXPathObjectPtr devices;
        int r;

        r = document_open(xml, &document);
        if (r < 0)
                return r;
        devices = find(&document, NULL, "/domain/devices/memory[@model='virtio-mem']");
        if (!devices)
                return -ENOMEM;

        r = -ENODEV;
        for (int i = 0; r == -ENODEV && devices->nodesetval && i < devices->nodesetval->nodeNr; i++) {
                xmlNodePtr device = devices->nodesetval->nodeTab[i];
                char name[MEMORY_MODEL_ID_MAX];

                if (text_of(&document, device, "alias/@name", name, sizeof(name)) > 0 &&
                    strcmp(name, alias) == 0)
                        r = request(&document, device, requested_bytes, ret);
        }
        xmlXPathFreeObject(devices);
        return r;
}

void libvirt_domain_dimm(const LibvirtDomain *domain, unsigned number, uint64_t bytes,
                         char ret[static LIBVIRT_DOMAIN_DIMM_MAX]) {
        (void) snprintf(ret, LIBVIRT_DOMAIN_DIMM_MAX,
                        "<memory model='dimm'><target><size unit='KiB'>%llu</size>%s</target>"
                        "<alias name='" LIBVIRT_ALIAS_PREFIX DIMM_NAME_PREFIX "%u'/></memory>",
                        (unsigned long long) (bytes / KIB), domain->has_numa ? "<node>0</node>" : "", number);
}
