/* Whether the methods through which asyncio feeds a StreamReader are asyncio's own:
 * StreamReaderProtocol.data_received, which asks its _stream_reader, and
 * StreamReader.feed_data with _wakeup_waiter. A program may replace them at any
 * time, on the classes or, by other code, in the functions; what it does to single
 * objects is for net/stream_reader.c to see. */
#ifndef PYAIO_NET_STREAM_METHODS_H
#define PYAIO_NET_STREAM_METHODS_H

#include "engine/engine.h"

/* The indices of StreamMethods.functions and of ModuleState.stream_codes. */
enum {
    STREAM_DATA_RECEIVED,
    STREAM_READER_PROPERTY,
    STREAM_FEED_DATA,
    STREAM_WAKEUP_WAITER,
};

/* The attributes that a StreamReader has, outside of debug mode: the indices of
 * StreamMethods.reader_places, which tells where instance_values_of() finds them. */
enum {
    READER_LIMIT,
    READER_LOOP,
    READER_BUFFER,
    READER_EOF,
    READER_WAITER,
    READER_EXCEPTION,
    READER_TRANSPORT,
    READER_PAUSED,
};

/* What instance_values_of() finds: these and the class. */
#define READER_VALUES (READER_ATTRIBUTES + 1)

/* Their names, borrowed. */
void stream_methods_reader_names(ModuleState *state,
                                 PyObject *names[READER_ATTRIBUTES]);

/* Looks at the classes. -1 with an exception set. */
int stream_methods_refresh(Engine *engine);

static inline bool
stream_methods_are_unchanged(Engine *engine)
{
    const StreamMethods *methods = &engine->stream_methods;
    unsigned int reader =
        compat_version((PyTypeObject *)engine->state->stream_reader);
    unsigned int protocol =
        compat_version((PyTypeObject *)engine->state->stream_protocol);
    /* 0 stands for "changed since the last lookup". */
    if (reader != methods->reader_version || reader == 0
        || protocol != methods->protocol_version || protocol == 0) {
        return false;
    }
    for (int i = 0; methods->plain && i < STREAM_METHODS; i++) {
        if (PyFunction_GET_CODE(methods->functions[i])
            != PyTuple_GET_ITEM(engine->state->stream_codes, i)) {
            return false;
        }
    }
    return true;
}

/* 1 when all is asyncio's own, 0 when not, -1 with an exception set. */
static inline int
stream_methods_are_plain(Engine *engine)
{
    if (!stream_methods_are_unchanged(engine)
        && stream_methods_refresh(engine) < 0) {
        return -1;
    }
    return engine->stream_methods.plain;
}

/* Notes the code of asyncio's methods. -1 with an exception set. */
int stream_methods_setup(ModuleState *state);

#endif
