/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A scratch tree that stands for a machine's /proc and /sys. Every failure ends the test. */

#include "common/macro.h"
#include "common/rootdir.h"

typedef struct Tree {
        char path[64];
        unsigned n_removed;
        RootDir *root;
} Tree;

/* An empty tree, or a copy of tests/fixtures/NAME. */
Tree *tree_new(const char *fixture);
Tree *tree_free(Tree *tree);
DEFINE_CLEANUP_FUNC(Tree, tree_free)

/* Writes a file whole, with the folders on its way. */
void tree_write(Tree *tree, const char *path, const char *text);
void tree_link(Tree *tree, const char *path, const char *target);

/* Removes a file, or a folder with all below it. Its inode is not seen again in this tree. */
void tree_remove(Tree *tree, const char *path);

/* A fixture itself, for reading only. Freed by rootdir_free(). */
RootDir *fixture_root(const char *name);

/* The text of a file of a fixture; *ret_size may be NULL. Freed by the caller. */
char *fixture_read(const char *name, const char *path, size_t *ret_size);
