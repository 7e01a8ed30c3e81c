/* The way of the bytes in: from the socket to the protocol.
 *
 * The turn runs the watcher, the watcher calls stream_on_readable(), and this
 * reads once and calls the protocol: data_received() with a bytes object, which an
 * asyncio.StreamReader does not need (net/stream_reader.c), or buffer_updated()
 * after reading into the buffer it has given. One read an event: a connection that
 * always has data waits for its turn like any other. */
#include "base/errors.h"
#include "base/platform.h"
#include "net/tls.h"

/* The socket may hold more than has been read. */
static void
leave_unread(StreamObject *stream)
{
    if (stream->watcher != NULL) { /* get_buffer() may have closed us */
        watcher_unread(stream->watcher);
    }
}

/* After a read into `size` bytes. */
static void
note_read(StreamObject *stream, ssize_t count, size_t size)
{
    bool ended = stream->watcher != NULL && stream->watcher->ended;
    if (count == (ssize_t)size || (count > 0 && ended)) {
        leave_unread(stream);
    }
    engine_note_read(stream->engine, count);
}

/* recv() that is not disturbed by signals. */
static ssize_t
read_socket(StreamObject *stream, char *buffer, size_t size)
{
    ssize_t count;
    do {
        count = recv(stream->fd, buffer, size, 0);
    } while (count < 0 && errno == EINTR);
    note_read(stream, count, size);
    return count;
}

/* The socket has nothing after all, or has failed. */
static int
read_failed(StreamObject *stream)
{
    if (errors_is_retry(errno)) {
        return 0;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return stream_fatal(stream, "Fatal read error on socket transport");
}

static int
read_eof(StreamObject *stream)
{
    if (stream_log(stream, "%r received EOF") < 0) {
        return -1;
    }
    PyObject *result = stream_call_protocol(
        stream, STATE_NAME(stream->engine->state, eof_received), NULL);
    int keep_open = result == NULL ? -1 : PyObject_IsTrue(result);
    Py_XDECREF(result);
    if (keep_open < 0) {
        return stream_program_failed(
            stream, "Fatal error: protocol.eof_received() call "
                    "failed.");
    }
    if (!keep_open) {
        return stream_close(stream);
    }
    /* The protocol may still write, but there is nothing more to read. */
    stream->reading = false;
    stream_update_watch(stream);
    leave_unread(stream); /* whoever resumes is told of the end again */
    return 0;
}

static int
data_failed(StreamObject *stream)
{
    return stream_program_failed(
        stream, "Fatal error: protocol.data_received() call failed.");
}

/* protocol.data_received(data). Steals the bytes object, NULL with an exception set
 * where there was no memory for it. */
static int
data_received_steal(StreamObject *stream, PyObject *data)
{
    if (data == NULL) {
        return stream_program_failed(stream,
                                     "Fatal read error on socket transport");
    }
    PyObject *result = stream_call_protocol(
        stream, STATE_NAME(stream->engine->state, data_received), data);
    Py_DECREF(data);
    if (result == NULL) {
        return data_failed(stream);
    }
    Py_DECREF(result);
    return 0;
}

/* Reads that follow large ones go straight into a bytes object of half as much again,
 * which is cut to what has come: to copy 64 KiB costs a twentieth of all that is done
 * with them. What it has no room for comes by the shared buffer all the same. */
static ssize_t
read_into_bytes(StreamObject *stream, PyObject **data, char *scratch)
{
    size_t size = (size_t)PyBytes_GET_SIZE(*data);
    struct iovec vectors[] = {
        {PyBytes_AS_STRING(*data), size},
        {scratch, ENGINE_SCRATCH_SIZE - size},
    };
    ssize_t count;
    do {
        count = readv(stream->fd, vectors, 2);
    } while (count < 0 && errno == EINTR);
    note_read(stream, count, ENGINE_SCRATCH_SIZE);
    if (count > 0 && count != (ssize_t)size
        && _PyBytes_Resize(data, count) == 0 && count > (ssize_t)size) {
        memcpy(PyBytes_AS_STRING(*data) + size, scratch, (size_t)count - size);
    }
    return count;
}

static int
read_large(StreamObject *stream, char *scratch)
{
    size_t size = stream->last_read + stream->last_read / 2;
    if (size > ENGINE_SCRATCH_SIZE) {
        size = ENGINE_SCRATCH_SIZE;
    }
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (data == NULL) {
        return data_received_steal(stream, NULL);
    }
    ssize_t count = read_into_bytes(stream, &data, scratch);
    if (count <= 0) {
        int error = errno;
        Py_DECREF(data);
        errno = error;
        return count == 0 ? read_eof(stream) : read_failed(stream);
    }
    stream->last_read = (uint32_t)count;
    return data_received_steal(stream, data);
}

/* Whether read_large() is the way, which no StreamReader needs. */
static bool
reads_large(const StreamObject *stream)
{
    PyObject *readers = stream->engine->state->stream_protocol;
    return stream->last_read >= ENGINE_LARGE_READ
           && !Py_IS_TYPE(stream->protocol, (PyTypeObject *)readers);
}

static int
read_data(StreamObject *stream)
{
    char *scratch = engine_scratch(stream->engine);
    if (scratch == NULL) {
        return data_received_steal(stream, NULL);
    }
    if (reads_large(stream)) {
        return read_large(stream, scratch);
    }
    ssize_t count = read_socket(stream, scratch, ENGINE_SCRATCH_SIZE);
    if (count <= 0) {
        return count == 0 ? read_eof(stream) : read_failed(stream);
    }
    int fed = stream_reader_feed(stream->engine, &stream->reader,
                                 stream->protocol, scratch, count);
    if (fed < 0) {
        return data_failed(stream);
    }
    if (fed > 0 || stream->protocol == NULL) {
        return 0; /* or looking at the reader has run code that ended us */
    }
    stream->last_read = (uint32_t)count;
    PyObject *data = PyBytes_FromStringAndSize(scratch, count);
    return data_received_steal(stream, data);
}

/* ---- BufferedProtocol ---- */

/* A view to read into, of what is not the program's own type. Without an exception
 * where there is none. */
static bool
view_at_once(PyObject *buffer, Py_buffer *view)
{
    if (!PyMemoryView_Check(buffer) && !PyByteArray_CheckExact(buffer)) {
        return false;
    }
    if (PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return false;
    }
    if (!PyBuffer_IsContiguous(view, 'C')) {
        PyBuffer_Release(view);
        return false;
    }
    return true;
}

/* The buffer that the protocol gives. -1 when the stream has been ended, or
 * with what has to leave run_forever(): then *err is -1, too. */
static int
get_buffer(StreamObject *stream, Py_buffer *view, int *err)
{
    ModuleState *state = stream->engine->state;
    PyObject *hint = PyLong_FromLong(-1);
    PyObject *buffer =
        hint
            ? stream_call_protocol(stream, STATE_NAME(state, get_buffer), hint)
            : NULL;
    Py_XDECREF(hint);
    Py_ssize_t length = buffer == NULL ? -1 : PyObject_Size(buffer);
    if (length == 0) {
        PyErr_SetString(PyExc_RuntimeError,
                        "get_buffer() returned an empty buffer");
    }
    if (length <= 0) {
        Py_XDECREF(buffer);
        *err = stream_program_failed(stream,
                                     "Fatal error: protocol.get_buffer() call "
                                     "failed.");
        return -1;
    }
    /* The interpreter's own conversion, for socket.recv_into()'s errors. */
    bool ok = view_at_once(buffer, view)
              || PyArg_Parse(buffer, "w*:recv_into", view);
    Py_DECREF(buffer); /* the view holds it */
    if (!ok) {
        *err = stream_program_failed(stream,
                                     "Fatal read error on socket transport");
        return -1;
    }
    return 0;
}

static int
update_failed(StreamObject *stream)
{
    return stream_program_failed(
        stream, "Fatal error: protocol.buffer_updated() call failed.");
}

static int
buffer_updated(StreamObject *stream, ssize_t count)
{
    PyObject *size = PyLong_FromSsize_t(count);
    PyObject *result =
        size ? stream_call_protocol(
                   stream, STATE_NAME(stream->engine->state, buffer_updated),
                   size)
             : NULL;
    Py_XDECREF(size);
    if (result == NULL) {
        return update_failed(stream);
    }
    Py_DECREF(result);
    return 0;
}

static int
read_into_protocol(StreamObject *stream)
{
    Py_buffer view;
    int err = 0;
    if (get_buffer(stream, &view, &err) < 0) {
        return err;
    }
    if (stream->finished) {
        /* get_buffer() has closed the fd, or asking its answer for bytes. */
        PyBuffer_Release(&view);
        return 0;
    }
    ssize_t count = read_socket(stream, view.buf, (size_t)view.len);
    int error = errno;
    PyBuffer_Release(&view);
    if (stream->finished) {
        return 0;
    }
    if (count > 0) {
        return buffer_updated(stream, count);
    }
    errno = error;
    return count == 0 ? read_eof(stream) : read_failed(stream);
}

/* ---- TLS ---- */

/* Records, for net/tls_read.c: a BufferedProtocol, which needs no buffer of its own. */
static int
read_records(StreamObject *stream)
{
    char *scratch = engine_scratch(stream->engine);
    if (scratch == NULL) {
        return stream_program_failed(stream,
                                     "Fatal read error on socket transport");
    }
    ssize_t count = read_socket(stream, scratch, ENGINE_SCRATCH_SIZE);
    if (count <= 0) {
        return count == 0 ? read_eof(stream) : read_failed(stream);
    }
    TlsObject *tls = (TlsObject *)Py_NewRef(stream->tls);
    /* The program may have others read before it has taken all. */
    char *lent = engine_lend_scratch(stream->engine);
    int err = lent != NULL
                  ? tls_received(tls, lent, (size_t)count)
                  : tls_received_elsewhere(tls, scratch, (size_t)count);
    if (lent != NULL) {
        engine_return_scratch(stream->engine, lent);
    }
    Py_DECREF(tls);
    return err < 0 ? update_failed(stream) : 0;
}

static int
read_for_protocol(StreamObject *stream)
{
    if (stream->tls != NULL && tls_is_direct(stream->tls)) {
        return read_records(stream);
    }
    return stream->buffered ? read_into_protocol(stream) : read_data(stream);
}

int
stream_on_readable(StreamObject *stream)
{
    if (stream->lost_writes || !stream->reading) {
        return 0;
    }
    PyObject *context = Py_NewRef(stream->context);
    int err = -1;
    if (PyContext_Enter(context) == 0) {
        err = read_for_protocol(stream);
        if (PyContext_Exit(context) < 0) {
            err = -1;
        }
    }
    if (err < 0) {
        leave_unread(stream);
    }
    Py_DECREF(context);
    return err;
}
