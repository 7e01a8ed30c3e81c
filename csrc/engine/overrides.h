/* Which methods of the loop somebody has replaced: a subclass, a test that
 * patches the instance, a tracer that patches the class.
 *
 * Our C asks Engine.overrides, one word, instead of looking methods up; the
 * word is set anew where the type or the instance changes. */
#ifndef PYAIO_ENGINE_OVERRIDES_H
#define PYAIO_ENGINE_OVERRIDES_H

#include "base/platform.h"
#include "engine/engine.h"

/* Looks at the type of the loop. -1 with an exception set. */
int overrides_refresh(Engine *engine);
/* The same, since the type has changed. */
PLATFORM_RARE int overrides_look_again(Engine *engine);

/* Looks again if the type has changed since. -1 with an exception set. */
static inline int
overrides_check(Engine *engine)
{
    /* 0 stands for "changed and not yet looked at". */
    unsigned int version = compat_version(Py_TYPE(engine->loop));
    if ((version == engine->type_version && version != 0)
        || engine_is_away(engine)) {
        return 0; /* in another thread: what was so when the loop last looked */
    }
    return overrides_look_again(engine);
}

/* An attribute of the instance was set (`present`) or deleted. */
void overrides_note_own(Engine *engine, PyObject *name, bool present);

/* Sets or clears an OVERRIDE_* of the instance. */
void overrides_set_own(Engine *engine, unsigned flag, bool present);

#endif
