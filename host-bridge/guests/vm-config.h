/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* vm.d/NAME.conf: what the operator says about one VM. */

#include <stdbool.h>
#include <stddef.h>

#include "common/config.h"
#include "host-bridge/guests/vm.h"

#define VM_PATH_MAX VMM_ADDRESS_MAX

typedef struct VmConfig {
        char name[DECISION_VM_NAME_MAX];
        char channel[VM_PATH_MAX], qmp[VM_PATH_MAX]; /* empty: by the discovery folder */
        unsigned channel_line, qmp_line;             /* of its file; 0: not given */
        VmPolicy policy;
} VmConfig;

extern const ConfigTable vm_config_table;

/* A VM's name: A-Z a-z 0-9 . _ -, at most 63 characters, no dot in front. It becomes a file name and a label. */
bool vm_name_is_valid(const char *name);

/*
 * Reads file (see config_load()) over the defaults into *ret, whose name is left alone.
 * Returns 0, -EINVAL after a complaint, or -errno.
 */
int vm_config_load(const RootDir *root, const char *file, VmConfig *ret, ConfigComplain complain,
                   void *userdata);

/* The same for a text that stands somewhere else; where is for messages. Returns 0 or -EINVAL after a complaint. */
int vm_config_parse(const char *where, const char *text, VmConfig *ret, ConfigComplain complain,
                    void *userdata);

/*
 * Reads every NAME.conf of folder. *ret (freed by the caller) is sorted by name; a folder that does not exist is
 * empty. A file with an error is left out, and a file whose name is no VM's is warned about.
 * Returns 0, -EINVAL if any file had an error (the others are in *ret), or -errno.
 */
int vm_config_load_folder(const RootDir *root, const char *folder, VmConfig **ret, size_t *ret_n,
                          ConfigComplain complain, void *userdata);
