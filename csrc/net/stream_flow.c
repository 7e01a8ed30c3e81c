/* Flow control of a stream: more than high_water bytes queued pause the
 * protocol's writing, low_water or less resume it. Called by the write path
 * and by set_write_buffer_limits(). */
#include "net/flow.h"
#include "net/stream.h"

static int
call_protocol(StreamObject *stream, PyObject *name, const char *message)
{
    return flow_call(stream->engine, (PyObject *)stream, stream->protocol,
                     name, message);
}

int
stream_flow_pause(StreamObject *stream)
{
    if (stream->queue.size <= stream->high_water || stream->protocol_paused
        || stream->protocol == NULL) {
        return 0;
    }
    stream->protocol_paused = true;
    return call_protocol(stream,
                         STATE_NAME(stream->engine->state, pause_writing),
                         "protocol.pause_writing() failed");
}

int
stream_flow_resume(StreamObject *stream)
{
    if (!stream->protocol_paused || stream->queue.size > stream->low_water
        || stream->protocol == NULL) {
        return 0;
    }
    stream->protocol_paused = false;
    return call_protocol(stream,
                         STATE_NAME(stream->engine->state, resume_writing),
                         "protocol.resume_writing() failed");
}

int
stream_flow_set_limits(StreamObject *stream, PyObject *high, PyObject *low)
{
    return flow_limits(high, low, &stream->high_water, &stream->low_water);
}
