/* The way of the bytes into an asyncio.StreamReader, without a Python call: what
 * StreamReaderProtocol.data_received() and StreamReader.feed_data() do, for
 * unmodified objects of exactly these classes. All others get their methods
 * called. */
#ifndef PYAIO_NET_STREAM_READER_H
#define PYAIO_NET_STREAM_READER_H

#include "net/stream.h"

/* 1 when the reader of the stream's protocol has taken the bytes, 0 when
 * data_received() is to be called with them, -1 with what that would have raised. */
int stream_reader_feed(StreamObject *stream, const char *data,
                       Py_ssize_t size);

#endif
