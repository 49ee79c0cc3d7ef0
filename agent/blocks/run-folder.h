/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* /run/memtide: what an agent leaves for the next one of the same boot. */

#include "common/rootdir.h"

#define RUN_FOLDER   "run/memtide"
#define BOOT_ID_SIZE 64U

/* Returns 0, also if it is there already, or -errno. */
int run_folder_make(const RootDir *root);

/* Removes a file in it. Returns 0, also if there is none, or -errno. */
int run_folder_remove(const RootDir *root, const char *name);

/* The text of this boot's id. Returns 0 or -errno. */
int run_folder_boot_id(const RootDir *root, char ret[static BOOT_ID_SIZE]);
