/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One typed value of a configuration file: text to field, field to text. Inner part of config.c. */

#include <stddef.h>

#include "common/config.h"

/* Longest text of a value or of what is allowed, with its terminator. */
#define CONFIG_VALUE_MAX 256

/* Returns 0, -EINVAL for text of another kind, -ERANGE outside of what is allowed; *field is then untouched. */
int config_value_parse(const ConfigKey *key, const char *value, void *field);

/* Writes the value so that config_value_parse() gives exactly the same again. */
void config_value_format(const ConfigKey *key, const void *field, char *buffer, size_t size);

/* "a size": what the text is not, after -EINVAL. */
const char *config_value_kind(const ConfigKey *key);

/* "16M to 1T": for people. */
void config_value_format_allowed(const ConfigKey *key, char *buffer, size_t size);
