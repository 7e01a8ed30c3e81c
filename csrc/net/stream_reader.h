/* The way of the bytes into an asyncio.StreamReader, without a Python call: what
 * StreamReaderProtocol.data_received() and StreamReader.feed_data() do, for
 * unmodified objects of exactly these classes. All others get their methods
 * called. */
#ifndef PYAIO_NET_STREAM_READER_H
#define PYAIO_NET_STREAM_READER_H

#include "engine/engine.h"

/* A transport's protocol and its StreamReader, as they were when last looked at. */
typedef struct ReaderLink {
    /* Owned: the protocol's weak reference to its reader, or what stands in that
     * place; the reader itself in stream_reader_feed_known(); NULL before the first
     * bytes. */
    PyObject *ref;
    unsigned char ref_place;       /* among the protocol's attributes */
    unsigned char protocol_values; /* how many these are */
    unsigned char reader_values;
    bool protocol_plain; /* nothing is replaced on the object */
    bool reader_plain;
} ReaderLink;

/* 1 when the reader of the transport's protocol has taken the bytes, 0 when
 * data_received() is to be called with them, -1 with what that would have raised.
 * The caller holds the transport that `link` belongs to; `protocol` is borrowed. */
int stream_reader_feed(Engine *engine, ReaderLink *link, PyObject *protocol,
                       const char *data, Py_ssize_t size);

/* The same for a reader that the caller has found by itself: 0 when its feed_data()
 * is to be called. */
int stream_reader_feed_known(Engine *engine, ReaderLink *link,
                             PyObject *reader, const char *data,
                             Py_ssize_t size);

#endif
