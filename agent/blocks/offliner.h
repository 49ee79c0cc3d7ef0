/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Carries out a run of policy/offline.h. It blocks: see common/worker.h. */

#include "agent/policy/offline.h"
#include "common/rootdir.h"
#include "common/worker.h"

/* worker: on whose thread this is; when its job is cancelled, no more blocks are taken and those taken come back. */
void offliner_run(const RootDir *root, OfflineRun *run, const Worker *worker);
