/* SPDX-License-Identifier: Apache-2.0 */

#include "vmm-hand.h"

#include <stdio.h>

void hand_on_vmm(Vmm *vmm, const VmmEvent *event, void *userdata) {
        Hand *hand = userdata;

        hand->n[event->kind]++;
        if (hand->n_events < ELEMENTSOF(hand->order))
                hand->order[hand->n_events] = event->kind;
        hand->n_events++;
        if (event->kind == VMM_MODEL)
                hand->model = *event->model;
        if (event->kind == VMM_ACCEPTED)
                hand->accepted_id = event->id;
        if (event->kind == VMM_REJECTED)
                hand->rejected_id = event->id;
        if (event->text)
                (void) snprintf(hand->text, sizeof(hand->text), "%s", event->text);
        if (hand->frees && event->kind == hand->free_at)
                hand->vmm = vmm_free(hand->vmm);
}

bool hand_has_model(void *hand) {
        return ((Hand *) hand)->n[VMM_MODEL] > 0;
}

bool hand_is_lost(void *hand) {
        return ((Hand *) hand)->n[VMM_LOST] > 0;
}

static unsigned n_answers(const Hand *hand) {
        return hand->n[VMM_ACCEPTED] + hand->n[VMM_REJECTED];
}

bool hand_is_answered(void *hand) {
        return n_answers(hand) > 0;
}

bool hand_is_answered_twice(void *hand) {
        return n_answers(hand) > 1;
}
