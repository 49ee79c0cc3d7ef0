/* SPDX-License-Identifier: Apache-2.0 */

/* Never unloaded: libvirt has a thread that runs in it, and so may a call that hangs. */

#include "host-bridge/vmm/libvirt-load.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int libvirt_load(const char *path, const LibvirtApi **ret, char error[static LIBVIRT_TEXT_MAX]) {
        const LibvirtApi *api;
        void *module;

        assert(path);
        assert(ret);

        if (access(path, F_OK) < 0) {
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "%s does not exist", path);
                return -ENOENT;
        }
        module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        api = module ? dlsym(module, LIBVIRT_API_SYMBOL) : NULL;
        if (!api) {
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "%s", dlerror() ?: "unknown");
                return -ENOEXEC;
        }
        if (api->version != LIBVIRT_API_VERSION) {
                (void) snprintf(error, LIBVIRT_TEXT_MAX, "%s is of version %u, and %u is needed", path,
                                api->version, LIBVIRT_API_VERSION);
                return -ENOEXEC;
        }
        *ret = api;
        return 0;
}
