/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where org.memtide.Agent1 is found: the agent serves it, memtidectl asks it. agent/bus.h says what it has. */

#define AGENT_BUS_PATH      "/org/memtide/Agent1"
#define AGENT_BUS_INTERFACE "org.memtide.Agent1" /* also its name on the system bus */
#define AGENT_BUS_SOCKET    "/run/memtide/agent.sock"
