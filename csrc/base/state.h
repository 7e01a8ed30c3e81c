/* The state of the module, one for each interpreter: the types, what is taken
 * from the standard library, interned names, the free lists.
 *
 * Nothing in pyaio lives in a static variable, so that several interpreters,
 * each with a GIL of its own, can load the module. */
#ifndef PYAIO_BASE_STATE_H
#define PYAIO_BASE_STATE_H

#include "base/compat.h"
#include "base/free_list.h"

#include <Python.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Names looked up at run time, interned once: STATE_NAME(state, call_at). One made for the
 * look-up (PyObject_GetAttrString(), PyObject_CallMethod()) takes a place in the
 * interpreter's cache of type attributes and stays there: only where it happens once. */
#define STATE_NAMES(X)                                                        \
    X(Future)                                                                 \
    X(Task)                                                                   \
    X(_asyncio_future_blocking)                                               \
    X(_attach)                                                                \
    X(_buffer)                                                                \
    X(_call)                                                                  \
    X(_call_connection_lost)                                                  \
    X(_call_eof_received)                                                     \
    X(_check_callback)                                                        \
    X(_clock_resolution)                                                      \
    X(_control_app_writing)                                                   \
    X(_control_ssl_reading)                                                   \
    X(_detach)                                                                \
    X(_do_flush)                                                              \
    X(_do_handshake)                                                          \
    X(_do_read)                                                               \
    X(_do_shutdown)                                                           \
    X(_do_write)                                                              \
    X(_ensure_fd_no_transport)                                                \
    X(_eof)                                                                   \
    X(_exception)                                                             \
    X(_fatal_error)                                                           \
    X(_get_read_buffer_size)                                                  \
    X(_limit)                                                                 \
    X(_loop)                                                                  \
    X(_msg_callback)                                                          \
    X(_on_handshake_complete)                                                 \
    X(_paused)                                                                \
    X(_pending_calls)                                                         \
    X(_pipe_data_received)                                                    \
    X(_process_events)                                                        \
    X(_process_outgoing)                                                      \
    X(_process_self_data)                                                     \
    X(_protocol)                                                              \
    X(_resume)                                                                \
    X(_run_fired)                                                             \
    X(_run_once)                                                              \
    X(_selector)                                                              \
    X(_sock_calls_are_ours)                                                   \
    X(_ssl_protocol)                                                          \
    X(_sslobj)                                                                \
    X(_start)                                                                 \
    X(_start_shutdown)                                                        \
    X(_stream_reader)                                                         \
    X(_stream_reader_wr)                                                      \
    X(_transport)                                                             \
    X(_unwatch_signals)                                                       \
    X(_waiter)                                                                \
    X(_wakeup_waiter)                                                         \
    X(_watch_signals)                                                         \
    X(_write_appdata)                                                         \
    X(_write_to_self)                                                         \
    X(add_done_callback)                                                      \
    X(append)                                                                 \
    X(buffer_updated)                                                         \
    X(call_at)                                                                \
    X(call_exception_handler)                                                 \
    X(call_soon)                                                              \
    X(callback)                                                               \
    X(cancel)                                                                 \
    X(cancelled)                                                              \
    X(close)                                                                  \
    X(connect)                                                                \
    X(connection_lost)                                                        \
    X(connection_made)                                                        \
    X(context)                                                                \
    X(create_future)                                                          \
    X(create_task)                                                            \
    X(data_received)                                                          \
    X(datagram_received)                                                      \
    X(debug)                                                                  \
    X(delay)                                                                  \
    X(done)                                                                   \
    X(eager_start)                                                            \
    X(eof_received)                                                           \
    X(error_received)                                                         \
    X(exception)                                                              \
    X(family)                                                                 \
    X(fd)                                                                     \
    X(feed_data)                                                              \
    X(fget)                                                                   \
    X(fileno)                                                                 \
    X(get_buffer)                                                             \
    X(get_debug)                                                              \
    X(get_loop)                                                               \
    X(getpeername)                                                            \
    X(getsockname)                                                            \
    X(handle)                                                                 \
    X(ident)                                                                  \
    X(is_running)                                                             \
    X(loop)                                                                   \
    X(main_thread)                                                            \
    X(message)                                                                \
    X(msg)                                                                    \
    X(name)                                                                   \
    X(pause_reading)                                                          \
    X(pause_writing)                                                          \
    X(peername)                                                               \
    X(pipe)                                                                   \
    X(pipe_data_received)                                                     \
    X(proc)                                                                   \
    X(proto)                                                                  \
    X(protocol)                                                               \
    X(read)                                                                   \
    X(recv_into)                                                              \
    X(recvfrom_into)                                                          \
    X(result)                                                                 \
    X(resume_writing)                                                         \
    X(run)                                                                    \
    X(select)                                                                 \
    X(send)                                                                   \
    X(sendto)                                                                 \
    X(set_exception)                                                          \
    X(set_result)                                                             \
    X(set_wakeup_fd)                                                          \
    X(setblocking)                                                            \
    X(slow_callback_duration)                                                 \
    X(sni_callback)                                                           \
    X(socket)                                                                 \
    X(sockname)                                                               \
    X(source_traceback)                                                       \
    X(stderr)                                                                 \
    X(stdout)                                                                 \
    X(throw)                                                                  \
    X(time)                                                                   \
    X(transport)                                                              \
    X(type)                                                                   \
    X(warning)                                                                \
    X(when)                                                                   \
    X(write)
/* Taken from the standard library: of its registry of tasks (tasks/registry.h). */
#if PYAIO_TASKS_IN_FIELDS
#define TASK_IMPORTS(X)                                                       \
    X(add_awaiter, "_asyncio", "future_add_to_awaited_by")                    \
    X(remove_awaiter, "_asyncio", "future_discard_from_awaited_by")           \
    X(enter_task, "_asyncio", "_enter_task")                                  \
    X(leave_task, "_asyncio", "_leave_task")                                  \
    X(register_task, "_asyncio", "_register_task")                            \
    X(unregister_task, "_asyncio", "_unregister_task")                        \
    X(register_eager_task, "_asyncio", "_register_eager_task")                \
    X(unregister_eager_task, "_asyncio", "_unregister_eager_task")            \
    X(swap_current_task, "_asyncio", "_swap_current_task")                    \
    X(eager_task_factory, "asyncio", "eager_task_factory")
#elif PYAIO_TASKS_START_EAGERLY
#define TASK_IMPORTS(X)                                                       \
    X(current_tasks, "asyncio.tasks", "_current_tasks")                       \
    X(all_tasks, "asyncio.tasks", "_scheduled_tasks")                         \
    X(eager_tasks, "asyncio.tasks", "_eager_tasks")                           \
    X(eager_task_factory, "asyncio", "eager_task_factory")
#else
#define TASK_IMPORTS(X)                                                       \
    X(current_tasks, "asyncio.tasks", "_current_tasks")                       \
    X(all_tasks, "asyncio.tasks", "_all_tasks")
#endif

/* All that is taken from the standard library when the module is made. */
#define STATE_IMPORTS(X)                                                      \
    X(asyncio_future, "asyncio", "Future")                                    \
    X(asyncio_task, "asyncio", "Task")                                        \
    X(base_event_loop, "asyncio.base_events", "BaseEventLoop")                \
    X(buffered_protocol, "asyncio.protocols", "BufferedProtocol")             \
    X(cancelled_error, "asyncio", "CancelledError")                           \
    X(child_protocol, "asyncio.subprocess", "SubprocessStreamProtocol")       \
    X(child_read_protocol, "asyncio.base_subprocess",                         \
      "ReadSubprocessPipeProto")                                              \
    X(child_transport, "asyncio.unix_events", "_UnixSubprocessTransport")     \
    X(child_write_protocol, "asyncio.base_subprocess",                        \
      "WriteSubprocessPipeProto")                                             \
    X(extract_stack, "asyncio.format_helpers", "extract_stack")               \
    X(format_callback, "asyncio.format_helpers", "_format_callback_source")   \
    X(format_handle, "asyncio.base_events", "_format_handle")                 \
    X(futures_namespace, "asyncio.futures", "__dict__")                       \
    X(future_repr, "asyncio.base_futures", "_future_repr")                    \
    X(get_event_loop, "asyncio.events", PYAIO_GET_EVENT_LOOP)                 \
    X(getswitchinterval, "sys", "getswitchinterval")                          \
    X(invalid_state_error, "asyncio", "InvalidStateError")                    \
    X(iscoroutine, "asyncio.coroutines", "iscoroutine")                       \
    X(logger, "asyncio.log", "logger")                                        \
    X(set_result_unless_cancelled, "asyncio.futures",                         \
      "_set_result_unless_cancelled")                                         \
    X(setswitchinterval, "sys", "setswitchinterval")                          \
    X(socket_base, "_socket", "socket")                                       \
    X(socket_type, "socket", "socket")                                        \
    X(stream_protocol, "asyncio.streams", "StreamReaderProtocol")             \
    X(stream_reader, "asyncio.streams", "StreamReader")                       \
    X(ssl_phases, "asyncio.sslproto", "SSLProtocolState")                     \
    X(ssl_protocol, "asyncio.sslproto", "SSLProtocol")                        \
    X(streams_namespace, "asyncio.streams", "__dict__")                       \
    X(task_get_stack, "asyncio.base_tasks", "_task_get_stack")                \
    X(task_print_stack, "asyncio.base_tasks", "_task_print_stack")            \
    X(task_repr, "asyncio.base_tasks", "_task_repr")                          \
    X(tasks_namespace, "asyncio.tasks", "__dict__")                           \
    X(transport_socket, "asyncio.trsock", "TransportSocket")                  \
    TASK_IMPORTS(X)

/* The types that the module makes; threadsafe_handle_type since Python 3.14. And
 * the type of the mapping in a Context, NULL when its place is not proved. */
#define STATE_TYPES(X)                                                        \
    X(handle_type)                                                            \
    X(timer_handle_type)                                                      \
    X(threadsafe_handle_type)                                                 \
    X(loop_type)                                                              \
    X(stream_type)                                                            \
    X(tls_type)                                                               \
    X(tls_transport_type)                                                     \
    X(datagram_type)                                                          \
    X(read_pipe_type)                                                         \
    X(write_pipe_type)                                                        \
    X(listener_type)                                                          \
    X(poller_type)                                                            \
    X(future_type)                                                            \
    X(task_type)                                                              \
    X(await_iter_type)                                                        \
    X(vars_type)                                                              \
    X(sock_call_type)                                                         \
    X(sock_method_type)

/* The tuples ("context",) and ("msg",); the code of asyncio's stream methods
 * (net/stream_methods.c) and of those that a child's output goes through
 * (net/child_output.c); descriptors of _socket.socket (net/sock_io.c); and of
 * asyncio's WeakSet of tasks, before 3.14, its set of weak references, its set of
 * iterations that go on, and the callback of its references. Of base/snapshot.h, an
 * empty mapping of context variables, and the Context that callbacks take turns in,
 * when none is in it. The StopIteration that results take turns in
 * (tasks/stop_iteration.h). Of TLS (net/tls.h), the classes of an ssl.SSLObject and of
 * what is inside, NULL until these are proved; the exceptions that ask to try again; and
 * asyncio's SSLProtocolStates. */
#define STATE_OBJECTS(X)                                                      \
    X(context_keyword)                                                        \
    X(msg_keyword)                                                            \
    X(stream_codes)                                                           \
    X(child_codes)                                                            \
    X(socket_family)                                                          \
    X(socket_kind)                                                            \
    X(socket_proto)                                                           \
    X(all_tasks_data)                                                         \
    X(all_tasks_iterating)                                                    \
    X(all_tasks_remove)                                                       \
    X(no_vars)                                                                \
    X(spare_context)                                                          \
    X(spare_stop_iteration)                                                   \
    X(ssl_object)                                                             \
    X(ssl_socket)                                                             \
    X(ssl_again)                                                              \
    X(tls_handshake)                                                          \
    X(tls_wrapped)                                                            \
    X(tls_flushing)                                                           \
    X(tls_shutdown)

/* Objects to use again, and how many: 4096 handles are 1 MiB, what a busy turn needs.
 * Each list is of one type. */
#define STATE_FREE_LISTS(X)                                                   \
    X(free_handles, 4096)                                                     \
    X(free_timer_handles, 4096)                                               \
    X(free_threadsafe_handles, 4096)                                          \
    X(free_futures, 256)                                                      \
    X(free_tasks, 256)                                                        \
    X(free_await_iters, 256)                                                  \
    X(free_sock_calls, 256)

/* Where asyncio keeps what debuggers read, as offsets in bytes: the first six in
 * tasks and futures, the others in the thread's state. */
typedef struct TaskLayout {
    bool proved;
    Py_ssize_t name;
    Py_ssize_t coro;
    Py_ssize_t awaited_by;
    Py_ssize_t is_task;
    Py_ssize_t awaited_by_is_set;
    Py_ssize_t node;
    Py_ssize_t running_loop;
    Py_ssize_t running_task;
    Py_ssize_t tasks_head;
} TaskLayout;

/* What a loop knows of the methods of asyncio's streams that the way of the bytes in
 * takes the place of (net/stream_methods.c). */
#define STREAM_METHODS 4
#define READER_ATTRIBUTES 8

typedef struct StreamMethods {
    bool
        plain; /* all of them are asyncio's own, and nothing is in their way */
    unsigned int reader_version; /* of the classes when that was looked at */
    unsigned int protocol_version;
    PyObject
        *functions[STREAM_METHODS]; /* owned; NULL before the first look */
    unsigned char reader_places[READER_ATTRIBUTES]; /* of its attributes */
} StreamMethods;

typedef struct ModuleState {
#define X(name) PyTypeObject *name;
    STATE_TYPES(X)
#undef X
#define X(name, module, attribute) PyObject *name;
    STATE_IMPORTS(X)
#undef X
#define X(name) PyObject *name;
    STATE_OBJECTS(X)
#undef X
#define X(name, maximum) FreeList name;
    STATE_FREE_LISTS(X)
#undef X

    struct {
#define X(name) PyObject *name;
        STATE_NAMES(X)
#undef X
    } names;

    /* Gives an object of exactly future_type, borrowed, the result None unless it
     * was cancelled: the streams' way to futures, which net/ does not know. -1
     * with an exception set. */
    int (*wake_future)(PyObject *future);

    bool dict_slot_is_proved;     /* compat_dict_slot() of futures and tasks */
    TaskLayout task_layout;       /* since 3.14 */
    _Atomic(uint64_t) task_count; /* for automatic names */

    /* Methods of _socket.socket without arguments (net/sock_io.c). */
    PyCFunction socket_fileno;
    PyCFunction socket_gettimeout;

    /* asyncio's helper has a `debug` argument since 3.13. */
    int format_callback_takes_debug;

    struct Engine
        *long_interval_of; /* who has lengthened the switch interval, or
                                        NULL (engine/gil.c) */
} ModuleState;

/* Defined by module.c; what PyType_GetModuleByDef() looks for. */
extern struct PyModuleDef core_module;

#define STATE_NAME(state, name) ((state)->names.name)

/* The number of a new task, from 1 on. */
static inline uint64_t
state_count_task(ModuleState *state)
{
#if PYAIO_FREE_THREADED
    return atomic_fetch_add_explicit(&state->task_count, 1,
                                     memory_order_relaxed)
           + 1;
#else
    uint64_t count =
        atomic_load_explicit(&state->task_count, memory_order_relaxed) + 1;
    atomic_store_explicit(&state->task_count, count, memory_order_relaxed);
    return count;
#endif
}

/* Fills imports and names. -1 with an exception set on failure; what was
 * filled is released by module_state_clear(). */
int module_state_init(ModuleState *state);
int module_state_traverse(ModuleState *state, visitproc visit, void *arg);
void module_state_clear(ModuleState *state);

/* The state of the module that made the type of an object that dies; NULL when
 * the collector has taken the two apart, and for types made by programs. */
ModuleState *module_state_of_dying(PyObject *object);
/* The same, where the type may be a program's with one of ours beneath. */
ModuleState *module_state_beneath_dying(PyObject *object);

/* Adds what the type does not define itself. -1 with an exception set. */
int module_add_methods(PyTypeObject *type, PyMethodDef *methods);
int module_add_getset(PyTypeObject *type, PyGetSetDef *getset);

/* tp_dealloc of types without subclasses, weak references and a __dict__ that have
 * nothing to free but what their tp_clear lets go. */
void module_type_dealloc(PyObject *self);

/* Of a type that only we make objects of. */
#define MODULE_TYPE_FLAGS                                                     \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC                                  \
     | Py_TPFLAGS_DISALLOW_INSTANTIATION)

/* Creates a heap type of the module under `base`, a class or a tuple of them
 * (borrowed, may be NULL), and adds it to the module by its name. *type, a field of
 * the state, owns it. -1 with an exception set. */
int module_add_type(PyObject *module, PyType_Spec *spec, PyObject *base,
                    PyTypeObject **type);
/* The same under the class that module_import_base() finds. */
int module_add_type_under(PyObject *module, PyType_Spec *spec,
                          const char *base_module, const char *base_name,
                          Py_ssize_t reserved, PyTypeObject **type);

/* The asyncio class `name` of `module`, proved to fit into the `reserved`
 * bytes that our subclass leaves for it. New reference, NULL on failure. */
PyObject *module_import_base(const char *module, const char *name,
                             Py_ssize_t reserved);

#endif
