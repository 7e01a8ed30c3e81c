/* The stream transport: one connected stream socket and its protocol.
 *
 * An asyncio.Transport, with everything of asyncio's own selector transport:
 * net/stream.c makes, closes and ends it, net/stream_type.c is what Python sees
 * of it, net/stream_read.c the way of the bytes in, net/stream_reader.c the rest of it
 * to a StreamReader, net/stream_write.c and net/stream_send.c the way out, net/flow.c
 * the flow control between, net/stream_info.c what programs ask about it. */
#ifndef PYAIO_NET_STREAM_H
#define PYAIO_NET_STREAM_H

#include "base/sockaddr.h"
#include "engine/engine.h"
#include "engine/watcher.h"
#include "net/stream_reader.h"
#include "net/flush.h"
#include "net/transport.h"
#include "net/write_queue.h"

typedef struct StreamObject {
    TRANSPORT_HEAD;
    ReaderLink reader;
    PyObject *server; /* owned asyncio.Server that counts us, or NULL */
    int family, type, proto;
    PyObject *sock; /* owned socket.socket, which then owns the fd; NULL: the
                       fd is ours */

    ReadyEntry start;       /* queued once, behind connection_made() */
    Flush flush;            /* of what is gathered */
    PyObject *waiter;       /* owned future to wake at the start, or NULL */
    PyObject *empty_waiter; /* owned future of a sendfile(), or NULL */

    WriteQueue queue;
    uint64_t wrote_in_turn; /* Engine.turn_id of the last send */
    int64_t gathers_until;  /* in ns; 0: not above the high-water mark */
    size_t clock_due_at;    /* queue.size at which to ask for the time */
    Py_ssize_t lost_writes; /* > 0: connection_lost() has been scheduled */

    struct TlsObject
        *tls;      /* borrowed: the protocol, where that is our TLS; or NULL */
    bool buffered; /* the protocol is a BufferedProtocol */
    bool eof_written;   /* write_eof() */
    bool finished;      /* the fd has been closed */
    uint32_t last_read; /* bytes, where data_received() takes them */

    SocketAddress
        *peer; /* owned, or NULL: as it was when the stream was made */
    SocketAddress
        *local; /* owned, or NULL: as it was before the fd was closed */
} StreamObject;

/* What makes a stream; everything is borrowed but for the fd (see `sock`). */
typedef struct StreamParts {
    PyObject *protocol;
    PyObject *sock; /* socket.socket that owns fd, or NULL */
    int fd;         /* owned by the new stream when sock is NULL,
                                   also when making it fails */
    int family, type, proto;
    const SocketAddress *peer; /* or NULL: asked for when needed */
    PyObject *waiter;  /* future to wake when reading starts, or NULL */
    PyObject *extra;   /* dict to start from, or NULL */
    PyObject *server;  /* or NULL */
    PyObject *context; /* of all callbacks; NULL or None: copies of
                                   the one in which each is scheduled */
} StreamParts;

/* NULL for what is absent or None. */
static inline PyObject *
not_none(PyObject *object)
{
    return object == Py_None ? NULL : object;
}

/* stream.c. Schedules connection_made(). New reference, NULL on failure. */
PyObject *stream_new(Engine *engine, const StreamParts *parts);
/* close(): what is queued is sent first. -1 with an exception set. */
int stream_close(StreamObject *stream);
/* Closes at once; connection_lost(exc) follows. `exc` is borrowed, may be
 * None. -1 with an exception set. */
int stream_force_close(StreamObject *stream, PyObject *exc);
/* connection_lost(exc), whatever it raises; then everything is let go. -1 with
 * an exception set. */
int stream_finish(StreamObject *stream, PyObject *exc);
/* Closes the fd, once, through the socket object where there is one. -1 with an
 * exception set. */
int stream_close_fd(StreamObject *stream);
/* Takes leave of the server, once. -1 with an exception set. */
int stream_detach_server(StreamObject *stream);
/* Ends the stream with the raised exception: an OSError is the peer's or the
 * network's doing, any other is reported with `message`. 0, or -1 with the
 * exception that has to leave run_forever(). */
int stream_fatal(StreamObject *stream, const char *message);
/* The same of what the program has raised, which has written before: that is sent. */
int stream_program_failed(StreamObject *stream, const char *message);
/* Debug mode: logger.debug(format, stream). -1 with an exception set. */
int stream_log(StreamObject *stream, const char *format);
/* From now on events go to `protocol` (borrowed). -1 with an exception set. */
int stream_set_protocol(StreamObject *stream, PyObject *protocol);
/* protocol.name(argument), or without one where that is NULL; the protocol that
 * is called lives as long, whatever it does. New reference, NULL on failure. */
PyObject *stream_call_protocol(StreamObject *stream, PyObject *name,
                               PyObject *argument);
/* The sendfile() that waits for the queue to run empty gets `exc`. -1 with an
 * exception set. */
int stream_fail_empty_waiter(StreamObject *stream, PyObject *exc);
/* Schedules connection_lost(exc): no event comes any more. -1 with an
 * exception set. */
int stream_schedule_lost(StreamObject *stream, PyObject *exc);

/* stream_read.c and stream_send.c: on events of the watcher. 0, or -1 with
 * what has to leave run_forever(). */
int stream_on_readable(StreamObject *stream);
int stream_on_writable(StreamObject *stream);

/* stream_write.c. */
int stream_write_object(StreamObject *stream, PyObject *data);
/* The same for bytes that are the caller's to keep. */
int stream_write_memory(StreamObject *stream, const char *data, size_t size);
int stream_write_lines(StreamObject *stream, PyObject *lines);
int stream_write_eof(StreamObject *stream);
/* stream_send.c. */
/* Sends what this turn has gathered, so that what is asked next sees the same
 * as with asyncio. 0, or -1 with what has to leave run_forever(). */
int stream_send_gathered(StreamObject *stream);
/* Flush.send: stream_send_gathered(), and the writer is forgotten. */
int stream_flush(PyObject *stream);

static inline void
stream_update_watch(StreamObject *stream)
{
    transport_update_watch((Transport *)stream);
}

static inline PyObject *
stream_copy_context(StreamObject *stream)
{
    return transport_copy_context((Transport *)stream);
}

/* pause_writing() and resume_writing() where it is due. 0, or -1 with what has to
 * leave run_forever(). */
static inline int
stream_flow_pause(StreamObject *stream)
{
    return flow_pause(&stream->flow, stream->queue.size, stream->engine,
                      (PyObject *)stream, stream->protocol);
}

static inline int
stream_flow_resume(StreamObject *stream)
{
    return flow_resume(&stream->flow, stream->queue.size, stream->engine,
                       (PyObject *)stream, stream->protocol);
}

/* stream_info.c. */
PyObject *stream_get_extra(StreamObject *stream, PyObject *name,
                           PyObject *fallback);
/* Notes, before the fd is closed, what may be asked for afterwards. */
void stream_remember(StreamObject *stream);

/* stream_type.c. */
int stream_setup(PyObject *module, ModuleState *state);

#endif
