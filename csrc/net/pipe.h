/* The pipe transports: one end of a pipe, FIFO or socket, and its protocol.
 *
 * An asyncio.ReadTransport or WriteTransport, with everything of asyncio's own:
 * net/pipe.c makes, closes and ends it, net/pipe_type.c is what Python sees of it,
 * net/pipe_read.c the way of the bytes in, net/child_output.c the rest of it to the
 * StreamReader of a child process, net/pipe_write.c the way out. */
#ifndef PYAIO_NET_PIPE_H
#define PYAIO_NET_PIPE_H

#include "engine/engine.h"
#include "engine/watcher.h"
#include "net/stream_reader.h"
#include "net/flush.h"
#include "net/transport.h"
#include "net/write_queue.h"

typedef struct PipeObject {
    TRANSPORT_HEAD;
    PyObject *pipe; /* owned file object, which owns the fd; NULL once it
                       has been closed */
    ReaderLink reader;

    Flush flush; /* of what is gathered */
    WriteQueue queue;
    uint64_t wrote_in_turn; /* Engine.turn_id of the last write */
    Py_ssize_t lost_writes; /* how many came after the end or failed */

    bool writes;   /* the end that writes */
    bool of_child; /* of a pipe that subprocess has made: nobody else has it */
    bool hears_close; /* the end that writes hears when the other is closed,
                         by `reading` */
    bool ending;      /* connection_lost() is scheduled or has been called */
    bool enlarged;    /* of a child's pipe, by us */
} PipeObject;

/* What makes a pipe transport; everything is borrowed. */
typedef struct PipeParts {
    bool writes;
    PyObject *pipe; /* file object; becomes the transport's on success */
    PyObject *protocol;
    PyObject *waiter; /* future to wake when it has started, or None */
    PyObject *extra;  /* dict to put the pipe into, or None */
    int fd;           /* of the pipe, as pipe_serves() has found it */
    bool hears_close;
} PipeParts;

/* pipe.c. 1 when the native transport serves parts->pipe, a pipe, FIFO or socket,
 * and parts->fd and hears_close are set; 0 when asyncio's own is to say what is
 * wrong with it or to serve it, a character device; -1 on error. */
int pipe_serves(PipeParts *parts);
/* Schedules connection_made(). New reference, NULL on failure: the file stays its
 * owner's. */
PyObject *pipe_new(Engine *engine, const PipeParts *parts);
/* Behind connection_made(): begins to read, wakes the waiter (may be None). -1
 * with an exception set. */
int pipe_start(PipeObject *self, PyObject *waiter);
/* close(): what is queued is written first. -1 with an exception set. */
int pipe_close(PipeObject *self);
/* Closes at once; connection_lost(exc) follows. `exc` is borrowed, may be
 * None. -1 with an exception set. */
int pipe_force_close(PipeObject *self, PyObject *exc);
/* connection_lost(exc), whatever it raises; then everything is let go. -1 with
 * an exception set. */
int pipe_finish(PipeObject *self, PyObject *exc);
/* Closes the file, once. -1 with an exception set. */
int pipe_close_file(PipeObject *self);
/* Ends the transport with the raised exception. It is reported with `message` unless
 * it is a usual one, the other end's doing, which only debug mode logs. 0, or -1 with
 * what has to leave run_forever(). */
int pipe_fatal(PipeObject *self, const char *message, bool usual);

/* pipe_read.c and pipe_write.c: on events of the watcher, in the context of the
 * event. -1 with what the protocol has raised. */
int pipe_on_readable(PipeObject *self);
int pipe_on_other_end_closed(PipeObject *self);
int pipe_on_writable(PipeObject *self);

/* pipe_write.c. write(data). -1 with an exception set. */
int pipe_write(PipeObject *self, PyObject *data);
/* Writes what this turn has gathered, so that what is asked next sees the same
 * as with asyncio. 0, or -1 with what has to leave run_forever(). */
int pipe_send_gathered(PipeObject *self);
/* Flush.send: pipe_send_gathered(). */
int pipe_flush(PyObject *pipe);

static inline void
pipe_update_watch(PipeObject *self)
{
    transport_update_watch((Transport *)self);
}

/* pause_writing() and resume_writing() where it is due. 0, or -1 with what has to
 * leave run_forever(). */
static inline int
pipe_flow_pause(PipeObject *self)
{
    return flow_pause(&self->flow, self->queue.size, self->engine,
                      (PyObject *)self, self->protocol);
}

static inline int
pipe_flow_resume(PipeObject *self)
{
    return flow_resume(&self->flow, self->queue.size, self->engine,
                       (PyObject *)self, self->protocol);
}

/* pipe_type.c. */
int pipe_setup(PyObject *module, ModuleState *state);

#endif
