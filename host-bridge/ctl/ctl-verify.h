/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Checks one configuration file as the daemon that reads it would: an agent's, a bridge's, or one of vm.d, by the sections
 * that it has. Complaints go to stderr, with file and line. Returns 0, -EINVAL if it has an error, or -errno.
 */
int ctl_verify(const char *file);
