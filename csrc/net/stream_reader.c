/* Feeds the StreamReader behind a transport's protocol. Called by net/stream_read.c,
 * net/pipe_read.c and net/child_output.c with what one read has brought; appends it
 * to the reader's buffer, wakes who waits for it, pauses the transport above the
 * limit: the order and the errors are those of StreamReader.feed_data(). */
#include "net/stream_reader.h"

#include "base/compat.h"
#include "base/instance_values.h"
#include "net/stream_methods.h"

/* ---- are protocol and reader unmodified objects? ---- */

/* 1 when object.name is the function of the class, bound; 0 when not, -1 on
 * error. */
static int
method_is_plain(PyObject *object, PyObject *name, PyObject *function)
{
    PyObject *method = PyObject_GetAttr(object, name);
    if (method == NULL) {
        return -1;
    }
    int plain =
        PyMethod_Check(method) && PyMethod_GET_FUNCTION(method) == function;
    Py_DECREF(method);
    return plain;
}

/* The attribute, None when it is not there. New reference, NULL on error. */
static PyObject *
attribute_or_none(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    return value;
}

/* 1 when `ref`, found at `place`, is the protocol's way to its reader and nothing is
 * replaced on the object; 0 when not, -1 on error. */
static int
protocol_is_plain(Engine *engine, PyObject *protocol, PyObject *ref, int place)
{
    if (place < 0 || !PyWeakref_CheckRefExact(ref)) {
        return 0;
    }
    return method_is_plain(
        protocol, STATE_NAME(engine->state, data_received),
        engine->stream_methods.functions[STREAM_DATA_RECEIVED]);
}

/* Looks at the protocol, which the caller holds, by the names of its attributes.
 * Making a method may start a collection, and that run code: afterwards `values`
 * may be gone. -1 on error. */
static int
look_at_protocol(Engine *engine, ReaderLink *link, PyObject *protocol,
                 const InstanceValues *values)
{
    PyObject *ref = attribute_or_none(
        protocol, STATE_NAME(engine->state, _stream_reader_wr));
    if (ref == NULL) {
        return -1;
    }
    assert(values->count > 0); /* its class, at the least */
    int count = values->count;
    int place = count < INSTANCE_VALUES_MAXIMUM
                    ? instance_values_place(values, ref)
                    : -1;
    if (place < 0) {
        Py_SETREF(ref, Py_NewRef(values->values[0]));
    }
    int plain = protocol_is_plain(engine, protocol, ref, place);
    if (plain < 0) {
        Py_DECREF(ref);
        return -1;
    }
    link->protocol_plain = plain;
    link->protocol_values = (unsigned char)count;
    link->ref_place = (unsigned char)(place < 0 ? 0 : place);
    link->reader_values = 0; /* look at it, too */
    Py_XSETREF(link->ref, ref);
    return 0;
}

/* 1 when the reader has its own attributes and no others, at their places; 0 when
 * not, -1 on error. */
static int
attributes_are_plain(Engine *engine, PyObject *reader,
                     const InstanceValues *values)
{
    if (values->count != READER_VALUES) {
        return 0;
    }
    PyObject *names[READER_ATTRIBUTES];
    stream_methods_reader_names(engine->state, names);
    for (int i = 0; i < READER_ATTRIBUTES; i++) {
        int place = engine->stream_methods.reader_places[i];
        PyObject *value = PyObject_GetAttr(reader, names[i]);
        if (value == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
                return -1;
            }
            PyErr_Clear();
            return 0;
        }
        Py_DECREF(value); /* the reader holds it, or it is another one */
        if (value != values->values[place]) {
            return 0;
        }
    }
    return 1;
}

/* Looks at the reader by the names of its attributes. -1 on error. */
static int
look_at_reader(Engine *engine, ReaderLink *link, PyObject *reader,
               const InstanceValues *values)
{
    PyObject *const *functions = engine->stream_methods.functions;
    int count = values->count;
    int plain = attributes_are_plain(engine, reader, values);
    if (plain > 0) {
        plain = method_is_plain(reader, STATE_NAME(engine->state, feed_data),
                                functions[STREAM_FEED_DATA]);
    }
    if (plain > 0) {
        plain =
            method_is_plain(reader, STATE_NAME(engine->state, _wakeup_waiter),
                            functions[STREAM_WAKEUP_WAITER]);
    }
    if (plain < 0) {
        return -1;
    }
    link->reader_plain = plain;
    link->reader_values = (unsigned char)count;
    return 0;
}

/* The reader of a plain protocol. New reference; NULL when the protocol is not
 * plain or its reader is gone, or with an exception set. */
static PyObject *
reader_of_protocol(Engine *engine, ReaderLink *link, PyObject *protocol)
{
    InstanceValues values;
    instance_values_of(protocol, &values);
    if (link->ref == NULL || values.count != link->protocol_values
        || values.values[link->ref_place] != link->ref) {
        Py_INCREF(protocol);
        int err = look_at_protocol(engine, link, protocol, &values);
        Py_DECREF(protocol);
        if (err < 0) {
            return NULL;
        }
    }
    return link->protocol_plain ? compat_weakref_get(link->ref) : NULL;
}

/* 1 when the reader is as it should be, with its attributes in `values`; 0 when
 * not, -1 on error. */
static int
reader_is_plain(Engine *engine, ReaderLink *link, PyObject *reader,
                InstanceValues *values)
{
    if (!Py_IS_TYPE(reader, (PyTypeObject *)engine->state->stream_reader)) {
        return 0;
    }
    instance_values_of(reader, values);
    if (values->count != link->reader_values) {
        if (look_at_reader(engine, link, reader, values) < 0) {
            return -1;
        }
        instance_values_of(reader, values); /* looking may have run code */
    }
    return link->reader_plain && values->count == link->reader_values;
}

/* ---- feed_data() ---- */

static int
append(PyObject *buffer, const char *data, Py_ssize_t size)
{
    Py_ssize_t before = PyByteArray_GET_SIZE(buffer);
    if (PyByteArray_Resize(buffer, before + size) < 0) {
        return -1;
    }
    memcpy(PyByteArray_AS_STRING(buffer) + before, data, (size_t)size);
    return 0;
}

/* waiter.set_result(None) unless it was cancelled, for a future of any kind. */
static int
wake_by_methods(Engine *engine, PyObject *waiter)
{
    PyObject *answer = PyObject_CallMethodNoArgs(
        waiter, STATE_NAME(engine->state, cancelled));
    int cancelled = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    if (cancelled != 0) {
        return cancelled < 0 ? -1 : 0;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        waiter, STATE_NAME(engine->state, set_result), Py_None);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* _wakeup_waiter(). */
static int
wake(Engine *engine, PyObject *reader, PyObject *waiter)
{
    Py_INCREF(waiter);
    int err =
        PyObject_SetAttr(reader, STATE_NAME(engine->state, _waiter), Py_None);
    if (err == 0) {
        err = Py_IS_TYPE(waiter, engine->state->future_type)
                  ? engine->state->wake_future(waiter)
                  : wake_by_methods(engine, waiter);
    }
    Py_DECREF(waiter);
    return err;
}

/* size > 2 * limit, for an int of any size. */
static bool
is_above_limit(Py_ssize_t size, PyObject *limit)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(limit, &overflow);
    if (overflow != 0 || value > PY_SSIZE_T_MAX / 2) {
        return overflow < 0;
    }
    return value < 0 || size > 2 * value;
}

/* The transport is asked to pause, which the reader notes; one that cannot is
 * forgotten. */
static int
pause_transport(Engine *engine, PyObject *reader, PyObject *transport)
{
    PyObject *result = PyObject_CallMethodNoArgs(
        transport, STATE_NAME(engine->state, pause_reading));
    if (result != NULL) {
        Py_DECREF(result);
        return PyObject_SetAttr(reader, STATE_NAME(engine->state, _paused),
                                Py_True);
    }
    if (!PyErr_ExceptionMatches(PyExc_NotImplementedError)) {
        return -1;
    }
    PyErr_Clear();
    return PyObject_SetAttr(reader, STATE_NAME(engine->state, _transport),
                            Py_None);
}

/* By the names of its attributes: waking somebody may have changed them. */
static int
pause_reader(Engine *engine, PyObject *reader)
{
    PyObject *transport =
        PyObject_GetAttr(reader, STATE_NAME(engine->state, _transport));
    if (transport == NULL) {
        return -1;
    }
    int err = 0;
    if (transport != Py_None) {
        PyObject *paused =
            PyObject_GetAttr(reader, STATE_NAME(engine->state, _paused));
        int is_paused = paused == NULL ? -1 : PyObject_IsTrue(paused);
        Py_XDECREF(paused);
        err = is_paused != 0 ? is_paused
                             : pause_transport(engine, reader, transport);
    }
    Py_DECREF(transport);
    return err < 0 ? -1 : 0;
}

/* What feed_data() asks a reader for. All borrowed from it. */
typedef struct FedAttributes {
    PyObject *buffer;
    PyObject *eof;
    PyObject *limit;
    PyObject *waiter;
} FedAttributes;

static FedAttributes
fed_attributes(Engine *engine, const InstanceValues *values)
{
    const unsigned char *places = engine->stream_methods.reader_places;
    return (FedAttributes){
        .buffer = values->values[places[READER_BUFFER]],
        .eof = values->values[places[READER_EOF]],
        .limit = values->values[places[READER_LIMIT]],
        .waiter = values->values[places[READER_WAITER]],
    };
}

/* feed_data() of a reader whose attributes are what they should be. */
static int
feed(Engine *engine, PyObject *reader, const FedAttributes *found,
     const char *data, Py_ssize_t size)
{
    if (append(found->buffer, data, size) < 0) {
        return -1;
    }
    bool above =
        is_above_limit(PyByteArray_GET_SIZE(found->buffer), found->limit);
    if (found->waiter != Py_None && wake(engine, reader, found->waiter) < 0) {
        return -1;
    }
    return above ? pause_reader(engine, reader) : 0;
}

/* 1 when a plain reader has taken the bytes, 0 when it is not plain, -1 on error. */
static int
feed_if_plain(Engine *engine, ReaderLink *link, PyObject *reader,
              const char *data, Py_ssize_t size)
{
    InstanceValues values;
    int plain = reader_is_plain(engine, link, reader, &values);
    if (plain <= 0) {
        return plain;
    }
    FedAttributes found = fed_attributes(engine, &values);
    if (found.eof != Py_False || !PyByteArray_CheckExact(found.buffer)
        || !PyLong_CheckExact(found.limit)) {
        return 0;
    }
    return feed(engine, reader, &found, data, size) < 0 ? -1 : 1;
}

int
stream_reader_feed(Engine *engine, ReaderLink *link, PyObject *protocol,
                   const char *data, Py_ssize_t size)
{
    if (!Py_IS_TYPE(protocol,
                    (PyTypeObject *)engine->state->stream_protocol)) {
        return 0;
    }
    int plain = stream_methods_are_plain(engine);
    if (plain <= 0) {
        return plain;
    }
    PyObject *reader = reader_of_protocol(engine, link, protocol);
    if (reader == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int fed = feed_if_plain(engine, link, reader, data, size);
    Py_DECREF(reader);
    return fed;
}

int
stream_reader_feed_known(Engine *engine, ReaderLink *link, PyObject *reader,
                         const char *data, Py_ssize_t size)
{
    int plain = stream_methods_are_plain(engine);
    if (plain <= 0) {
        return plain;
    }
    Py_INCREF(reader);
    if (link->ref != reader) {
        link->reader_values = 0; /* look at it */
        Py_XSETREF(link->ref, Py_NewRef(reader));
    }
    int fed = feed_if_plain(engine, link, reader, data, size);
    Py_DECREF(reader);
    return fed;
}
