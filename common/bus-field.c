/* SPDX-License-Identifier: Apache-2.0 */

#include "common/bus-field.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int append_list(sd_bus_message *message, const char *text) {
        int r = sd_bus_message_open_container(message, 'v', "as");

        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "s");
        while (r >= 0 && *text) {
                char item[FIELD_TEXT_MAX];
                size_t length = strcspn(text, ",");

                (void) snprintf(item, sizeof(item), "%.*s", (int) length, text);
                r = sd_bus_message_append(message, "s", item);
                text += length + (text[length] == ',');
        }
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int append_value(sd_bus_message *message, const Field *field) {
        switch (field->type) {
        case FIELD_U64:
                return sd_bus_message_append(message, "v", "t", field->u64);
        case FIELD_I64:
                return sd_bus_message_append(message, "v", "x", field->i64);
        case FIELD_BOOLEAN:
                return sd_bus_message_append(message, "v", "b", (int) field->boolean);
        case FIELD_STRING:
                return sd_bus_message_append(message, "v", "s", field->text);
        case FIELD_LIST:
                return append_list(message, field->text);
        case FIELD_TYPE_MAX:
                break;
        }
        return -EINVAL;
}

int bus_append_fields(sd_bus_message *message, const Field *fields, size_t n) {
        int r;

        assert(message);
        assert(fields);

        r = sd_bus_message_open_container(message, 'a', "{sv}");

        for (size_t i = 0; i < n && r >= 0; i++) {
                r = sd_bus_message_open_container(message, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append(message, "s", fields[i].name);
                if (r >= 0)
                        r = append_value(message, fields + i);
                if (r >= 0)
                        r = sd_bus_message_close_container(message);
        }
        return r < 0 ? r : sd_bus_message_close_container(message);
}
