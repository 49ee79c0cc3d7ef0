/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A struct that is mostly zeroes, at rest: for thousands of structs with fixed arrays of which few elements are used. */

#include <stdbool.h>
#include <stddef.h>

typedef struct Sparse Sparse;

#define SPARSE_SIZE_MAX 4096U

/*
 * Keeps a copy of size bytes, a multiple of 8 and at most SPARSE_SIZE_MAX, in *sparse, in place of what is there (NULL:
 * nothing). Returns 1 if that differs from what was kept, 0 if it does not, -ENOMEM with the old one kept.
 */
int sparse_set(Sparse **sparse, const void *data, size_t size);

/* Writes all of it out; zeroes if sparse is NULL. */
void sparse_get(const Sparse *sparse, void *ret, size_t size);

Sparse *sparse_free(Sparse *sparse);
