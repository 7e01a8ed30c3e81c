/* Looks at asyncio's stream classes: at import, and when they have changed. Asked
 * for each packet by net/stream_reader.c. */
#include "net/stream_methods.h"

#include "base/instance_values.h"

typedef struct StreamMethod {
    PyObject *type; /* borrowed */
    PyObject *name; /* borrowed */
    const char *qualified_name;
} StreamMethod;

static void
stream_methods_list(ModuleState *state, StreamMethod list[STREAM_METHODS])
{
    list[STREAM_DATA_RECEIVED] = (StreamMethod){
        state->stream_protocol, STATE_NAME(state, data_received),
        "StreamReaderProtocol.data_received"};
    list[STREAM_READER_PROPERTY] = (StreamMethod){
        state->stream_protocol, STATE_NAME(state, _stream_reader),
        "StreamReaderProtocol._stream_reader"};
    list[STREAM_FEED_DATA] =
        (StreamMethod){state->stream_reader, STATE_NAME(state, feed_data),
                       "StreamReader.feed_data"};
    list[STREAM_WAKEUP_WAITER] =
        (StreamMethod){state->stream_reader, STATE_NAME(state, _wakeup_waiter),
                       "StreamReader._wakeup_waiter"};
}

/* object.name: 1 and a new reference, 0 when there is none, -1 on error. */
static int
find_attribute(PyObject *object, PyObject *name, PyObject **value)
{
    *value = PyObject_GetAttr(object, name);
    if (*value != NULL) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

/* The Python function behind a method or a property of a class: 1 and a new
 * reference, 0 when it is something else, -1 on error. */
static int
find_function(ModuleState *state, const StreamMethod *method,
              PyObject **function)
{
    int found = find_attribute(method->type, method->name, function);
    if (found > 0 && Py_IS_TYPE(*function, &PyProperty_Type)) {
        PyObject *property = *function;
        found = find_attribute(property, STATE_NAME(state, fget), function);
        Py_DECREF(property);
    }
    if (found <= 0) {
        return found;
    }
    found = PyFunction_Check(*function);
    if (!found) {
        Py_CLEAR(*function);
    }
    return found;
}

/* ---- at import ---- */

/* The function's code where it is asyncio's, else None. Borrowed. */
static PyObject *
code_of_asyncio(ModuleState *state, PyObject *function, const char *name)
{
    PyObject *code = PyFunction_GET_CODE(function);
    bool theirs = PyFunction_GET_GLOBALS(function) == state->streams_namespace
                  && PyUnicode_CompareWithASCIIString(
                         ((PyCodeObject *)code)->co_qualname, name)
                         == 0;
    return theirs ? code : Py_None;
}

int
stream_methods_setup(ModuleState *state)
{
    StreamMethod list[STREAM_METHODS];
    stream_methods_list(state, list);
    PyObject *codes = PyTuple_New(STREAM_METHODS);
    for (int i = 0; codes != NULL && i < STREAM_METHODS; i++) {
        PyObject *function, *code = Py_None;
        int found = find_function(state, &list[i], &function);
        if (found < 0) {
            Py_CLEAR(codes);
            break;
        }
        if (found > 0) {
            code = code_of_asyncio(state, function, list[i].qualified_name);
        }
        PyTuple_SET_ITEM(codes, i, Py_NewRef(code));
        Py_XDECREF(function);
    }
    state->stream_codes = codes;
    return codes == NULL ? -1 : 0;
}

/* ---- when the classes have changed ---- */

void
stream_methods_reader_names(ModuleState *state,
                            PyObject *names[READER_ATTRIBUTES])
{
    names[READER_LIMIT] = STATE_NAME(state, _limit);
    names[READER_LOOP] = STATE_NAME(state, _loop);
    names[READER_BUFFER] = STATE_NAME(state, _buffer);
    names[READER_EOF] = STATE_NAME(state, _eof);
    names[READER_WAITER] = STATE_NAME(state, _waiter);
    names[READER_EXCEPTION] = STATE_NAME(state, _exception);
    names[READER_TRANSPORT] = STATE_NAME(state, _transport);
    names[READER_PAUSED] = STATE_NAME(state, _paused);
}

/* 1 when all functions run asyncio's own code, 0 when not, -1 on error. */
static int
functions_are_plain(Engine *engine)
{
    StreamMethod list[STREAM_METHODS];
    stream_methods_list(engine->state, list);
    for (int i = 0; i < STREAM_METHODS; i++) {
        PyObject *function;
        int found = find_function(engine->state, &list[i], &function);
        if (found <= 0) {
            return found;
        }
        Py_XSETREF(engine->stream_methods.functions[i], function);
        if (PyFunction_GET_GLOBALS(function)
                != engine->state->streams_namespace
            || PyFunction_GET_CODE(function)
                   != PyTuple_GET_ITEM(engine->state->stream_codes, i)) {
            return 0;
        }
    }
    return 1;
}

/* 1 when nothing but an object's own attributes answers to its names: no property
 * of the class, no __getattr__(), no __setattr__(); 0 when not, -1 on error. */
static int
attributes_are_plain(Engine *engine)
{
    PyTypeObject *reader = (PyTypeObject *)engine->state->stream_reader;
    PyTypeObject *protocol = (PyTypeObject *)engine->state->stream_protocol;
    if (reader->tp_getattro != PyObject_GenericGetAttr
        || reader->tp_setattro != PyObject_GenericSetAttr
        || protocol->tp_getattro != PyObject_GenericGetAttr) {
        return 0;
    }
    PyObject *names[READER_ATTRIBUTES];
    stream_methods_reader_names(engine->state, names);
    for (int i = 0; i < READER_ATTRIBUTES; i++) {
        PyObject *value;
        int found = find_attribute((PyObject *)reader, names[i], &value);
        if (found != 0) {
            Py_XDECREF(value);
            return found < 0 ? -1 : 0;
        }
    }
    return 1;
}

/* Each attribute of `reader` gets its own name as its value, and is looked for. */
static int
find_places(PyObject *reader, PyObject *names[READER_ATTRIBUTES],
            unsigned char places[READER_ATTRIBUTES])
{
    for (int i = 0; i < READER_ATTRIBUTES; i++) {
        if (PyObject_SetAttr(reader, names[i], names[i]) < 0) {
            return -1;
        }
    }
    InstanceValues found;
    instance_values_of(reader, &found);
    for (int i = 0; i < READER_ATTRIBUTES; i++) {
        int place = instance_values_place(&found, names[i]);
        if (place < 0) {
            return 0;
        }
        places[i] = (unsigned char)place;
    }
    return found.count == READER_VALUES;
}

/* Finds where a reader's attributes stand, on one that is used for nothing else: 1
 * when all do, 0 when not, -1 on error. */
static int
places_are_known(Engine *engine)
{
    PyTypeObject *type = (PyTypeObject *)engine->state->stream_reader;
    PyObject *names[READER_ATTRIBUTES];
    stream_methods_reader_names(engine->state, names);
    PyObject *args = PyTuple_New(0);
    PyObject *reader =
        args ? PyBaseObject_Type.tp_new(type, args, NULL) : NULL;
    int known = reader ? find_places(reader, names,
                                     engine->stream_methods.reader_places)
                       : -1;
    Py_XDECREF(reader);
    Py_XDECREF(args);
    return known;
}

int
stream_methods_refresh(Engine *engine)
{
    StreamMethods *methods = &engine->stream_methods;
    PyTypeObject *reader = (PyTypeObject *)engine->state->stream_reader;
    PyTypeObject *protocol = (PyTypeObject *)engine->state->stream_protocol;
    /* Each is 0 before the first look-up: then this is done again, and so it is where
     * another thread changes a class meanwhile. */
    unsigned int reader_version = compat_version(reader);
    unsigned int protocol_version = compat_version(protocol);
    methods->plain = false;
    int plain = functions_are_plain(engine);
    if (plain > 0) {
        plain = attributes_are_plain(engine);
    }
    if (plain > 0) {
        plain = places_are_known(engine);
    }
    if (plain < 0) {
        return -1;
    }
    methods->plain = plain;
    methods->reader_version = reader_version;
    methods->protocol_version = protocol_version;
    return 0;
}
