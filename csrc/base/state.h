/* The state of the module, one for each interpreter: the types, what is taken
 * from the standard library, interned names, the free list of handles.
 *
 * Nothing in pyaio lives in a static variable, so that several interpreters,
 * each with a GIL of its own, can load the module. */
#ifndef PYAIO_BASE_STATE_H
#define PYAIO_BASE_STATE_H

#include <Python.h>

/* Names looked up at run time, interned once: STATE_NAME(state, call_at). */
#define STATE_NAMES(X)                                                        \
    X(_attach)                                                                \
    X(_call_connection_lost)                                                  \
    X(_check_callback)                                                        \
    X(_detach)                                                                \
    X(_process_events)                                                        \
    X(_process_self_data)                                                     \
    X(_run_once)                                                              \
    X(_selector)                                                              \
    X(_write_to_self)                                                         \
    X(callback)                                                               \
    X(buffer_updated)                                                         \
    X(call_at)                                                                \
    X(call_exception_handler)                                                 \
    X(call_soon)                                                              \
    X(close)                                                                  \
    X(connection_lost)                                                        \
    X(connection_made)                                                        \
    X(context)                                                                \
    X(create_future)                                                          \
    X(create_task)                                                            \
    X(data_received)                                                          \
    X(delay)                                                                  \
    X(debug)                                                                  \
    X(done)                                                                   \
    X(eof_received)                                                           \
    X(family)                                                                 \
    X(exception)                                                              \
    X(fileno)                                                                 \
    X(get_buffer)                                                             \
    X(handle)                                                                 \
    X(loop)                                                                   \
    X(message)                                                                \
    X(pause_writing)                                                          \
    X(peername)                                                               \
    X(proto)                                                                  \
    X(protocol)                                                               \
    X(resume_writing)                                                         \
    X(run)                                                                    \
    X(select)                                                                 \
    X(set_exception)                                                          \
    X(set_result)                                                             \
    X(slow_callback_duration)                                                 \
    X(socket)                                                                 \
    X(sockname)                                                               \
    X(source_traceback)                                                       \
    X(time)                                                                   \
    X(transport)                                                              \
    X(type)                                                                   \
    X(warning)                                                                \
    X(when)

/* Taken from the standard library when the module is made. */
#define STATE_IMPORTS(X)                                                      \
    X(base_event_loop, "asyncio.base_events", "BaseEventLoop")                \
    X(buffered_protocol, "asyncio.protocols", "BufferedProtocol")             \
    X(extract_stack, "asyncio.format_helpers", "extract_stack")               \
    X(format_callback, "asyncio.format_helpers", "_format_callback_source")   \
    X(format_handle, "asyncio.base_events", "_format_handle")                 \
    X(future_type, "asyncio", "Future")                                       \
    X(logger, "asyncio.log", "logger")                                        \
    X(set_result_unless_cancelled, "asyncio.futures",                         \
      "_set_result_unless_cancelled")                                         \
    X(socket_type, "socket", "socket")                                        \
    X(task_type, "asyncio", "Task")                                           \
    X(transport_socket, "asyncio.trsock", "TransportSocket")

typedef struct HandleObject HandleObject;

typedef struct HandleFreeList {
    HandleObject *head; /* linked through HandleObject.loop */
    int count;
} HandleFreeList;

typedef struct ModuleState {
    PyTypeObject *handle_type;
    PyTypeObject *timer_handle_type;
    PyTypeObject *threadsafe_handle_type; /* NULL before Python 3.14 */
    PyTypeObject *loop_type;
    PyTypeObject *stream_type;
    PyTypeObject *listener_type;
    PyTypeObject *poller_type;

#define X(name, module, attribute) PyObject *name;
    STATE_IMPORTS(X)
#undef X

    struct {
#define X(name) PyObject *name;
        STATE_NAMES(X)
#undef X
    } names;

    PyObject *loop_keyword; /* ("loop",) */

    /* asyncio's helper has a `debug` argument since 3.13. */
    int format_callback_takes_debug;

    /* Handles to use again; empty in free-threaded builds. */
    HandleFreeList free_handles;
    HandleFreeList free_timer_handles;
} ModuleState;

/* Defined by module.c; what PyType_GetModuleByDef() looks for. */
extern struct PyModuleDef core_module;

#define STATE_NAME(state, name) ((state)->names.name)

/* Fills imports and names. -1 with an exception set on failure; what was
 * filled is released by module_state_clear(). */
int module_state_init(ModuleState *state);
int module_state_traverse(ModuleState *state, visitproc visit, void *arg);
void module_state_clear(ModuleState *state);

/* Creates a heap type of the module under `base` (borrowed, may be NULL) and
 * adds it to the module by its name. New reference, NULL on failure. */
PyTypeObject *module_add_type(PyObject *module, PyType_Spec *spec,
                              PyObject *base);

/* The asyncio class `name` of `module`, proved to fit into the `reserved`
 * bytes that our subclass leaves for it. New reference, NULL on failure. */
PyObject *module_import_base(const char *module, const char *name,
                             Py_ssize_t reserved);

#endif
