/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Descriptors that the service manager hands over at the start, and the channels that it keeps for us while we are gone:
 * a guest then does not see that its bridge was killed and started again. Without a manager that does so all is as
 * it would be without this.
 */

#include "common/macro.h"

typedef struct FdStore FdStore;

/*
 * Takes what was handed over ($LISTEN_FDS); what is none of ours is named, closed and no more kept.
 * Returns 0 or -ENOMEM.
 */
int fd_store_new(FdStore **ret);

/* Closes what nobody has taken; the manager still keeps it. */
FdStore *fd_store_free(FdStore *store);
DEFINE_CLEANUP_FUNC(FdStore, fd_store_free)

/*
 * The kept connection to the channel of vm, whose socket is at path. Returns a descriptor that is the caller's, or -ENOENT:
 * there is none, or it ends elsewhere, and is closed.
 */
int fd_store_take_channel(FdStore *store, const char *vm, const char *path);

/* A new connection is kept in place of an earlier one. fd stays the caller's. */
void fd_store_keep_channel(FdStore *store, const char *vm, int fd);

/* The VM is gone. */
void fd_store_drop_channel(FdStore *store, const char *vm);

/* A socket that listens on a loopback address for /metrics. Returns a descriptor that is the caller's, or -ENOENT. */
int fd_store_take_metrics(FdStore *store);

/* Every VM that there is has been seen: what nobody has taken is closed, and no more kept. */
void fd_store_settle(FdStore *store);
