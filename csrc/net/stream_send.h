/* What write(), writelines() and write_eof() need of the sending. */
#ifndef PYAIO_NET_STREAM_SEND_H
#define PYAIO_NET_STREAM_SEND_H

#include "net/stream.h"

/* How many bytes the socket took, 0 when it takes none now; -1 with OSError. */
ssize_t stream_send(StreamObject *stream, struct iovec *vectors, int count);
/* Ends the stream with the raised OSError of stream_send(). 0, or -1 with what has to
 * leave run_forever(). */
int stream_write_failed(StreamObject *stream);
/* Sends the queue as far as the socket takes it. As stream_write_failed(). */
int stream_send_queue(StreamObject *stream);
/* shutdown() of the way out. -1 with OSError. */
int stream_send_eof(StreamObject *stream);

/* Has the queue leave at the end of the turn, or before; unless the socket is full. */
void stream_gather(StreamObject *stream);
/* In the middle of a turn, after a write: sends what is enough, and pauses the protocol
 * when the socket is known to be full. As stream_write_failed(). */
int stream_send_if_much(StreamObject *stream);
/* Whether the queue waits for the socket to become writable. */
void stream_set_write_armed(StreamObject *stream, bool armed);

/* Whoever fills an empty queue is the one in whose context the protocol is called: to
 * be asked before the push, so that a queue with something in it has a context. As
 * transport_keep_writer(). */
int stream_keep_first_writer(StreamObject *stream, PyObject **before);
/* Once nobody waits for the socket: what his context holds is the program's to keep.
 * May call the program. */
void stream_forget_writer(StreamObject *stream);

#endif
