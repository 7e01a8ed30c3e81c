/* What all transports are: the fields that each begins with, and what is done with
 * them. net/transport.c is their start and end, net/transport_type.c what Python sees
 * of it; streams, datagrams and pipes add their own to both. */
#ifndef PYAIO_NET_TRANSPORT_H
#define PYAIO_NET_TRANSPORT_H

#include "base/members.h"
#include "base/platform.h"
#include "engine/engine.h"
#include "engine/watcher.h"
#include "net/flow.h"

/* Room for the fields of asyncio's _FlowControlMixin, the Transport that its
 * sendfile() insists on: 56 bytes in 3.11 to 3.13. Ours win over them. */
#define TRANSPORT_BASE_SIZE (48 + sizeof(PyObject))

#define TRANSPORT_HEAD                                                        \
    union {                                                                   \
        PyObject ob_base;                                                     \
        char room[TRANSPORT_BASE_SIZE];                                       \
    } base;                                                                   \
    Engine *engine;        /* valid while `loop` is held */                   \
    PyObject *loop;        /* owned */                                        \
    PyObject *protocol;    /* owned; NULL once connection_lost() is over */   \
    PyObject *own_context; /* owned: of all callbacks (3.15); NULL: these */  \
    PyObject *context;     /* owned: in which reads call the protocol */      \
    PyObject *write_context; /* owned: the same for writes, or NULL */        \
    FdWatcher *watcher;      /* owned; NULL once closed */                    \
    int fd;                  /* as it was when it has been closed */          \
    bool reading;            /* asks for read events */                       \
    bool write_armed;        /* asks for write events */                      \
    bool closing; /* nothing more is read or written but the queue */         \
    bool paused;  /* pause_reading() */                                       \
    COMPAT_ATOMIC(bool) forsaken; /* another thread's collector closes it */  \
    Flow flow;                    /* of the bytes that are queued */          \
    PyObject *extra; /* owned dict of get_extra_info(), or NULL */            \
    PyObject *dict;  /* owned __dict__, or NULL */                            \
    PyObject *weakrefs

/* Any of them. */
typedef struct PLATFORM_MAY_ALIAS Transport {
    TRANSPORT_HEAD;
} Transport;

/* ---- the start ---- */

/* The dict of get_extra_info(): `given`, or a new one for NULL and None. New
 * reference, NULL with TypeError for anything else. */
PyObject *transport_extra(PyObject *given);
/* Watches the fd, and connection_made() runs in the next turn, _start(waiter) right
 * behind it. Borrows everything; -1 with an exception set. */
int transport_begin(Transport *self, const WatcherOps *ops, PyObject *waiter);
/* waiter.set_result(None) unless it was cancelled or is None. Borrows it; -1 with an
 * exception set. */
int transport_wake(ModuleState *state, PyObject *waiter);

/* ---- watching ---- */

/* Watches for what `reading` and `write_armed` say. The caller holds the
 * transport. */
static inline void
transport_update_watch(Transport *self)
{
    if (self->watcher != NULL) {
        /* Does not fail: the fd is exclusive. */
        watcher_set(self->watcher,
                    (self->reading ? WATCH_READ : 0)
                        | (self->write_armed ? WATCH_WRITE : 0));
    }
}
/* Whether the fd of one that is watched may be another file's by now: it closes, or another
 * thread's collector has finalized it or its file, and the loop has not heard of it. */
static inline bool
transport_lets_go(Transport *self)
{
    if (self->closing || self->forsaken) {
        return true;
    }
    PyObject *file = self->watcher->ops->file(self->watcher);
    return PyObject_GC_IsFinalized((PyObject *)self)
           || (file != NULL && PyObject_GC_IsFinalized(file));
}

/* From here on flow control calls the protocol in the context of who writes now.
 * *before gets the one that was kept, owned: to be dropped last, which may call the
 * program. -1 with an exception set. */
int transport_keep_writer(Transport *self, PyObject **before);
/* What the socket has not taken waits for it, in the context of who writes now. -1
 * with an exception set. */
int transport_arm_writer(Transport *self);
/* WatcherOps.displace. */
int transport_displace(FdWatcher *watcher);
/* The context for callbacks that are asked for now. New reference. */
PyObject *transport_copy_context(Transport *self);

/* ---- errors ---- */

/* Reports the raised exception with `message`. 0, or -1 with what has to leave
 * run_forever(). */
int transport_report(Transport *self, const char *message);
/* Of what the protocol has raised in an event, if it has: reported in asyncio's words
 * as raised by the transport's `callback`. Returns as transport_report(). */
int transport_contain(Transport *self, int err, const char *callback);

/* ---- the end ---- */

/* A write that comes too late: dropped, counted in *lost_writes, after some with the
 * warning. -1 with an exception set. */
int transport_write_lost(Transport *self, Py_ssize_t *lost_writes,
                         const char *warning);

/* The transport's _call_connection_lost(exc) runs in the next turn. Borrows `exc`; -1
 * with an exception set. */
int transport_lose_soon(Transport *self, PyObject *exc);
/* protocol.connection_lost(exc). -1 with what it raises. */
int transport_tell_lost(Transport *self, PyObject *exc);
/* Of two exceptions, `first` (stolen, may be NULL) and the raised one of `err`, keeps
 * the first; the other is shown as unraisable. */
int transport_keep_first(PyObject *first, int err);

/* ---- the type: transport_type.c ---- */

/* Rows of the tables of methods. Each follows the method of asyncio's transports of
 * that name. */
#define TRANSPORT_METHODS                                                     \
    METHOD_NOARGS(Transport, is_closing,                                      \
                  "True once it is closed, or is about to be."),              \
        METHOD_NOARGS(Transport, get_protocol,                                \
                      "The protocol that is called.")
#define TRANSPORT_SET_PROTOCOL                                                \
    METHOD_KEYWORDS(Transport, set_protocol, ", protocol",                    \
                    "Have another protocol called from now on.")
#define TRANSPORT_READ_METHODS                                                \
    METHOD_NOARGS(Transport, is_reading,                                      \
                  "True unless reading is paused or has ended."),             \
        METHOD_NOARGS(Transport, pause_reading,                               \
                      "Read nothing until resume_reading()."),                \
        METHOD_NOARGS(Transport, resume_reading,                              \
                      "Read again after pause_reading().")
/* With set_write_buffer_limits() of the type. */
#define TRANSPORT_FLOW_METHODS(type)                                          \
    METHOD_NOARGS(                                                            \
        Transport, get_write_buffer_limits,                                   \
        "At how many bytes writing is resumed and paused: (low, high)."),     \
        METHOD_KEYWORDS(                                                      \
            type, set_write_buffer_limits, ", high=None, low=None",           \
            "Set at how many bytes writing is paused and resumed.\n\n"        \
            "ValueError unless high >= low >= 0.")

/* Defines a method or getter that another thread may call: `inside`, of the same
 * parameters, between ENGINE_BEGIN() and ENGINE_END(). */
#define TRANSPORT_VISIT(type, name, inside, argument)                         \
    static PyObject *name(type *self, argument given)                         \
    {                                                                         \
        PyObject *result;                                                     \
        ENGINE_BEGIN(self->engine);                                           \
        result = inside(self, given);                                         \
        ENGINE_END();                                                         \
        return result;                                                        \
    }
#define TRANSPORT_VISIT_KEYWORDS(type, name, inside)                          \
    static PyObject *name(type *self, PyObject *args, PyObject *kwargs)       \
    {                                                                         \
        PyObject *result;                                                     \
        ENGINE_BEGIN(self->engine);                                           \
        result = inside(self, args, kwargs);                                  \
        ENGINE_END();                                                         \
        return result;                                                        \
    }

/* close() and abort(): what `close` does. While another thread turns the loop it is done
 * there, soon: here may be the collector, in the middle of anything. */
PyObject *transport_close(void *transport, int (*close)(PyObject *));

PyObject *Transport_is_closing(Transport *self, PyObject *ignored);
PyObject *Transport_get_protocol(Transport *self, PyObject *ignored);
PyObject *Transport_set_protocol(Transport *self, PyObject *args,
                                 PyObject *kwargs);
PyObject *Transport_is_reading(Transport *self, PyObject *ignored);
PyObject *Transport_pause_reading(Transport *self, PyObject *ignored);
PyObject *Transport_resume_reading(Transport *self, PyObject *ignored);
PyObject *Transport_get_write_buffer_limits(Transport *self,
                                            PyObject *ignored);

/* Rows of the tables of attributes. */
#define TRANSPORT_FIELDS                                                      \
    MEMBER_DICT, MEMBER("_protocol", object, Transport, protocol),            \
        MEMBER("_closing", flag, Transport, closing)
#define TRANSPORT_FLOW_FIELDS                                                 \
    MEMBER("_protocol_paused", flag, Transport, flow.paused),                 \
        MEMBER("_high_water", size, Transport, flow.high_water),              \
        MEMBER("_low_water", size, Transport, flow.low_water)

/* Where __dict__ and the weak references are. */
extern PyMemberDef Transport_members[];

/* The arguments of get_extra_info(name, default=None), borrowed. -1 with TypeError. */
int transport_info_arguments(PyObject *args, PyObject *kwargs, PyObject **name,
                             PyObject **fallback);
/* What `extra`, a dict or NULL, has under the name, else `fallback`. New reference,
 * NULL on failure. */
PyObject *transport_info(PyObject *extra, PyObject *name, PyObject *fallback);
/* The name of its class. */
const char *transport_class(Transport *self);
/* The repr() of one that both reads and writes, with so many bytes `queued`. */
PyObject *transport_repr(Transport *self, bool closed, size_t queued);

/* For tp_traverse and tp_clear, with the fields of the type's own. What methods use
 * without a look whether it is there is left to the dealloc: loop and contexts. */
int transport_traverse(Transport *self, visitproc visit, void *arg);
void transport_clear(Transport *self);
/* For tp_finalize, where nobody has closed it: says so, and closes. `file`, borrowed: what
 * would close the fd by itself, or NULL. */
void transport_finalize(PyObject *transport, PyObject *file,
                        int (*close)(PyObject *));
/* For tp_dealloc. After tp_clear, `release` lets go of what that has left. */
void transport_dealloc(PyObject *transport, void (*release)(PyObject *));

/* The class attribute max_size, the most that one read takes. -1 with an exception
 * set. */
int transport_add_max_size(PyTypeObject *type);

#endif
