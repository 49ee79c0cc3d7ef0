/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lets go of memory and code that only the start has used. What is needed again comes back by itself. */
void forget_start(void);
