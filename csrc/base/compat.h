/* What differs between the supported Pythons (3.11 to 3.15, GIL and
 * free-threaded): every test of PY_VERSION_HEX stands in this file. */
#ifndef PYAIO_BASE_COMPAT_H
#define PYAIO_BASE_COMPAT_H

#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <structmember.h>

/* Exceptions as one object: the 3.12 calls, for 3.11 too. */
#if PY_VERSION_HEX < 0x030C0000
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

static inline void
PyErr_SetRaisedException(PyObject *exc)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exc)), exc,
                  PyException_GetTraceback(exc));
}
#endif

/* call_soon_threadsafe() returns a handle of which other threads may wait for
 * the run: asyncio.events._ThreadSafeHandle. */
#define PYAIO_THREADSAFE_HANDLES (PY_VERSION_HEX >= 0x030E0000)
/* asyncio's registry of tasks is in fields of the thread and of the tasks. */
#define PYAIO_TASKS_IN_FIELDS (PY_VERSION_HEX >= 0x030E0000)
/* Eager tasks, and Task.get_context(). */
#define PYAIO_TASKS_START_EAGERLY (PY_VERSION_HEX >= 0x030C0000)
#define PYAIO_TASK_SHOWS_CONTEXT (PY_VERSION_HEX >= 0x030C0000)
#if PYAIO_TASKS_START_EAGERLY
#define PYAIO_EAGER_START_KEYWORD "eager_start"
#define PYAIO_EAGER_START_FORMAT "p"
#define PYAIO_EAGER_START_SIGNATURE ", eager_start=False"
#else
#define PYAIO_EAGER_START_KEYWORD NULL
#define PYAIO_EAGER_START_FORMAT ""
#define PYAIO_EAGER_START_SIGNATURE ""
#endif
/* create_task() passes every keyword on to Task(). */
#define PYAIO_CREATE_TASK_STARTS_EAGERLY (PY_VERSION_HEX >= 0x030E0000)
#if PYAIO_CREATE_TASK_STARTS_EAGERLY
#define PYAIO_CREATE_TASK_PARAMETERS "coro, **kwargs"
#elif PY_VERSION_HEX >= 0x030D0300
#define PYAIO_CREATE_TASK_PARAMETERS                                          \
    "coro, *, name=None, context=None, **kwargs"
#else
#define PYAIO_CREATE_TASK_PARAMETERS "coro, *, name=None, context=None"
#endif
/* Task() refuses what is no contextvars.Context. */
#define PYAIO_TASK_CHECKS_CONTEXT (PY_VERSION_HEX >= 0x030F0000)
/* A second Future.__init__() is an error. */
#define PYAIO_FUTURE_INITS_ONCE (PY_VERSION_HEX >= 0x030F0000)
/* The last uncancel() takes back a cancel() that has not been thrown yet. */
#define PYAIO_UNCANCEL_REVOKES (PY_VERSION_HEX >= 0x030D0000)
/* set_exception(StopIteration) gives a RuntimeError instead of a TypeError. */
#define PYAIO_STOP_ITERATION_IS_WRAPPED (PY_VERSION_HEX >= 0x030D0000)
/* The StopIteration that brings a result has the exception that is handled as its
 * context. */
#define PYAIO_STOP_ITERATION_HAS_CONTEXT (PY_VERSION_HEX < 0x030D0200)
/* throw() of an iterator with three arguments is deprecated. */
#define PYAIO_THROW_WARNS (PY_VERSION_HEX >= 0x030C0000)
/* asyncio.Future is a heap type, whose tp_traverse visits the type. */
#define PYAIO_BASE_VISITS_TYPE (PY_VERSION_HEX >= 0x030C0000)
/* What a step of a finished task calls itself. */
#if PY_VERSION_HEX >= 0x030E0000
#define PYAIO_STEP_NAME "__step"
#else
#define PYAIO_STEP_NAME "_step"
#endif
/* Which function asyncio.Future() asks for the current loop. */
#if PY_VERSION_HEX >= 0x030C0000
#define PYAIO_GET_EVENT_LOOP "get_event_loop"
#else
#define PYAIO_GET_EVENT_LOOP "_get_event_loop"
#endif

/* False only when there is no weak reference to the object, of a type that allows
 * them. */
static inline bool
compat_has_weakrefs(PyObject *object)
{
#ifdef Py_GIL_DISABLED
    (void)object; /* other threads may be about to make one */
    return true;
#else
    Py_ssize_t offset = Py_TYPE(object)->tp_weaklistoffset;
    return *(PyObject **)((char *)object + offset) != NULL;
#endif
}

/* PyObject_ClearWeakRefs() of an object that nearly never has any. */
static inline void
compat_clear_weakrefs(PyObject *object)
{
    if (compat_has_weakrefs(object)) {
        PyObject_ClearWeakRefs(object);
    }
}

/* Where an object of exactly that type has its __dict__ or, while it has none, NULL; to
 * be proved. NULL where that is no place to look at. */
static inline PyObject **
compat_dict_slot(PyObject *object)
{
#ifdef Py_GIL_DISABLED
    return NULL;
#else
    PyTypeObject *type = Py_TYPE(object);
    if (type->tp_dictoffset > 0) {
        return (PyObject **)((char *)object + type->tp_dictoffset);
    }
    bool managed = type->tp_flags & Py_TPFLAGS_MANAGED_DICT;
    return managed ? (PyObject **)object - 3 : NULL;
#endif
}

/* The version tag of a type, which changes with it; 0 for none. */
static inline unsigned int
compat_version(PyTypeObject *type)
{
#ifdef Py_GIL_DISABLED
    return __atomic_load_n(&type->tp_version_tag, __ATOMIC_RELAXED);
#else
    return type->tp_version_tag;
#endif
}

/* What the name is in the type or one of its bases. New reference, NULL without an
 * exception where it is nothing. */
static inline PyObject *
compat_type_lookup(PyTypeObject *type, PyObject *name)
{
#if PY_VERSION_HEX >= 0x030D0000
    return _PyType_LookupRef(type, name);
#else
    return Py_XNewRef(_PyType_Lookup(type, name));
#endif
}

/* What a weak reference refers to: a new reference, NULL when it has died. */
static inline PyObject *
compat_weakref_get(PyObject *ref)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *object;
    (void)PyWeakref_GetRef(ref, &object); /* fails for what is none */
    return object;
#else
    PyObject *object = PyWeakref_GET_OBJECT(ref);
    return object == Py_None ? NULL : Py_NewRef(object);
#endif
}

/* For a tuple that nobody else has, before its items change: some versions keep
 * the hash. */
static inline void
compat_tuple_forget_hash(PyObject *tuple)
{
#if PY_VERSION_HEX >= 0x030E0000
    ((PyTupleObject *)tuple)->ob_hash = -1;
#else
    (void)tuple;
#endif
}

/* Whether a weak reference is to `object`. */
static inline bool
compat_weakref_is_to(PyObject *ref, PyObject *object)
{
    /* The caller has the object: nothing else can be where it is. */
    return ((PyWeakReference *)ref)->wr_object == object;
}

static inline bool
compat_is_finalizing(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing();
#else
    return _Py_IsFinalizing();
#endif
}

#if PY_VERSION_HEX < 0x030D0000
#define PyThreadState_GetUnchecked _PyThreadState_UncheckedGet
#endif

/* asyncio.Server._attach() and _detach() take the transport since 3.13. */
#define PYAIO_SERVER_KNOWS_TRANSPORTS (PY_VERSION_HEX >= 0x030D0000)

/* The accept loop goes on behind a connection that was aborted in the queue. */
#define PYAIO_ACCEPT_SKIPS_ABORTED (PY_VERSION_HEX >= 0x030E0000)

/* writelines() is write() of the lines joined. */
#define PYAIO_WRITELINES_JOINS (PY_VERSION_HEX < 0x030C0000)
/* writelines() leaves out what is false. */
#define PYAIO_WRITELINES_SKIPS_FALSE (PY_VERSION_HEX >= 0x030E0000)

/* sendto() sends datagrams without a byte, and each counts for its header, too. */
#define PYAIO_SENDS_EMPTY_DATAGRAMS (PY_VERSION_HEX >= 0x030D0000)
#define PYAIO_DATAGRAM_HEADER (PY_VERSION_HEX >= 0x030D0000 ? 8 : 0)

/* What write() calls its argument when it is none. */
#if PY_VERSION_HEX >= 0x030E0000
#define PYAIO_BYTES_LIKE "bytes, bytearray, or memoryview"
#else
#define PYAIO_BYTES_LIKE "bytes-like"
#endif

/* Module slots that say what the module can do, where the version asks. */
#if PY_VERSION_HEX >= 0x030C0000
#define PYAIO_SLOT_INTERPRETERS                                               \
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#else
#define PYAIO_SLOT_INTERPRETERS
#endif
/* Free-threaded builds leave the GIL off; from 3.14 on they turn it on for us: not
 * yet proved without it. */
#if PY_VERSION_HEX >= 0x030E0000
#define PYAIO_SLOT_GIL {Py_mod_gil, Py_MOD_GIL_USED},
#elif PY_VERSION_HEX >= 0x030D0000
#define PYAIO_SLOT_GIL {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#else
#define PYAIO_SLOT_GIL
#endif

/* A free list of objects is safe while one thread at a time runs Python. */
#ifdef Py_GIL_DISABLED
#define PYAIO_FREE_LISTS 0
#define PYAIO_FREE_THREADED 1
#else
#define PYAIO_FREE_LISTS 1
#define PYAIO_FREE_THREADED 0
#endif

/* The type of a field that other threads look at where there is no GIL. With one the
 * compiler may put such fields together. */
#if PYAIO_FREE_THREADED
#define COMPAT_ATOMIC(type) _Atomic(type)
#else
#define COMPAT_ATOMIC(type) type
#endif

/* The GIL of a piece of code, where there is none: one thread at a time is between the
 * two with this object, until it waits for something else. */
#ifndef Py_BEGIN_CRITICAL_SECTION
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* Puts `value` (stolen) into an owner's field that other threads may ask for by
 * members.h's member_shared(). */
static inline void
compat_set_shared(PyObject *owner, PyObject **field, PyObject *value)
{
    PyObject *before;
    (void)owner;
    Py_BEGIN_CRITICAL_SECTION(owner);
    before = *field;
    *field = value;
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(before);
}

/* The item of a list that other threads may append to. New reference, NULL on failure. */
static inline PyObject *
compat_list_item(PyObject *list, Py_ssize_t i)
{
#ifdef Py_GIL_DISABLED
    return PyList_GetItemRef(list, i);
#else
    return Py_NewRef(PyList_GET_ITEM(list, i));
#endif
}

/* What compat_set_shared() has put there, as a new reference, or NULL. */
static inline PyObject *
compat_get_shared(PyObject *owner, PyObject *const *field)
{
    PyObject *value;
    (void)owner;
    Py_BEGIN_CRITICAL_SECTION(owner);
    value = Py_XNewRef(*field);
    Py_END_CRITICAL_SECTION();
    return value;
}

/* Where there is no GIL, threads that make and drop objects of one type all count on it;
 * a type that is never freed is not counted. */
static inline void
compat_type_is_shared(PyTypeObject *type)
{
#ifdef Py_GIL_DISABLED
    Py_SET_REFCNT((PyObject *)type, PY_SSIZE_T_MAX);
#else
    (void)type;
#endif
}

#endif
