/* Which methods of the loop somebody has replaced. Refreshed when a run starts
 * and at polls (engine/turn.c); noted by the Loop's setattr (api/loop.c). */
#include "engine/overrides.h"

typedef struct Watched {
    PyObject *name; /* borrowed from the module state */
    unsigned flag;
} Watched;

#define WATCHED_COUNT 7

static void
watched_methods(ModuleState *state, Watched watched[WATCHED_COUNT])
{
    watched[0] = (Watched){STATE_NAME(state, call_soon), OVERRIDE_CALL_SOON};
    watched[1] = (Watched){STATE_NAME(state, call_at), OVERRIDE_CALL_AT};
    watched[2] = (Watched){STATE_NAME(state, time), OVERRIDE_TIME};
    watched[3] = (Watched){STATE_NAME(state, _run_once), OVERRIDE_RUN_ONCE};
    watched[4] =
        (Watched){STATE_NAME(state, _write_to_self), OVERRIDE_WRITE_TO_SELF};
    watched[5] =
        (Watched){STATE_NAME(state, _process_events), OVERRIDE_PROCESS_EVENTS};
    watched[6] = (Watched){STATE_NAME(state, get_debug), OVERRIDE_GET_DEBUG};
}

/* 1 when the type's method is not our own, 0 when it is, -1 on error. */
static int
is_replaced(Engine *engine, PyObject *name)
{
    PyObject *ours =
        PyObject_GetAttr((PyObject *)engine->state->loop_type, name);
    if (ours == NULL) {
        return -1;
    }
    PyObject *found =
        PyObject_GetAttr((PyObject *)Py_TYPE(engine->loop), name);
    int replaced = found == NULL ? -1 : found != ours;
    Py_XDECREF(found);
    Py_DECREF(ours);
    return replaced;
}

int
overrides_refresh(Engine *engine)
{
    Watched watched[WATCHED_COUNT];
    watched_methods(engine->state, watched);
    /* 0 before the first look-up: the next check looks again, and so it does where
     * another thread changes the type meanwhile. */
    unsigned int version = compat_version(Py_TYPE(engine->loop));
    unsigned flags = 0;
    for (int i = 0; i < WATCHED_COUNT; i++) {
        int replaced = is_replaced(engine, watched[i].name);
        if (replaced < 0) {
            return -1;
        }
        flags |= replaced ? watched[i].flag : 0;
    }
    engine->overrides = flags | engine->own_overrides;
    engine->type_version = version;
    return 0;
}

int
overrides_look_again(Engine *engine)
{
    return overrides_refresh(engine);
}

void
overrides_set_own(Engine *engine, unsigned flag, bool present)
{
    if (present) {
        engine->own_overrides |= flag;
    }
    else {
        engine->own_overrides &= ~flag;
    }
    engine->type_version = 0; /* look again at the next check */
    engine->overrides |= engine->own_overrides;
    engine->poll_now = true;
}

void
overrides_note_own(Engine *engine, PyObject *name, bool present)
{
    Watched watched[WATCHED_COUNT];
    watched_methods(engine->state, watched);
    for (int i = 0; i < WATCHED_COUNT; i++) {
        if (PyUnicode_Compare(name, watched[i].name) == 0) {
            overrides_set_own(engine, watched[i].flag, present);
        }
    }
    if (PyUnicode_Compare(name, STATE_NAME(engine->state, _selector)) == 0) {
        /* No method: whoever sets it to our own says so (_poll_natively). */
        overrides_set_own(engine, OVERRIDE_SELECTOR, true);
    }
}
