/* The flush of streams and of pipes to children. Queued by net/stream_send.c and
 * net/pipe_write.c, run by the turn. */
#include "net/flush.h"

#include "engine/report.h"

static Flush *
flush_of(ReadyEntry *entry)
{
    return CONTAINER_OF(entry, Flush, entry);
}

static int
flush_run(ReadyEntry *entry, Engine *engine)
{
    Flush *flush = flush_of(entry);
    PyObject *transport = flush->transport;
    flush->queued = false;
    int err = report_contain(engine, flush->send(transport), transport);
    Py_DECREF(transport); /* taken by flush_later() */
    return err;
}

static void
flush_discard(ReadyEntry *entry)
{
    Flush *flush = flush_of(entry);
    flush->queued = false;
    Py_DECREF(flush->transport); /* taken by flush_later() */
}

static int
flush_traverse(ReadyEntry *entry, visitproc visit, void *arg)
{
    Py_VISIT(flush_of(entry)->transport);
    return 0;
}

static PyObject *
flush_subject(ReadyEntry *entry)
{
    return Py_NewRef(flush_of(entry)->transport);
}

static const ReadyOps flush_ops = {
    .run = flush_run,
    .discard = flush_discard,
    .traverse = flush_traverse,
    .subject = flush_subject,
};

void
flush_init(Flush *flush, PyObject *transport, int (*send)(PyObject *))
{
    flush->entry.ops = &flush_ops;
    flush->transport = transport;
    flush->send = send;
}

void
flush_later(Flush *flush, Engine *engine)
{
    if (!flush->queued) {
        flush->queued = true;
        Py_INCREF(flush->transport); /* dropped by flush_run() or _discard() */
        engine_flush_later(engine, &flush->entry);
    }
}
