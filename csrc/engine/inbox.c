/* What other threads have the loop run: see inbox.h. Filled through engine_push() and
 * call_soon_threadsafe() (engine/handle.c), emptied by the turn (engine/turn.c). */
#include "engine/inbox.h"

#include "engine/backend.h"
#include "engine/engine.h"
#include "engine/report.h"

int
inbox_open(Engine *engine)
{
    int error = pthread_mutex_init(&engine->inbox.mutex, NULL);
    if (error != 0) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* Whoever goes to sleep says so before he looks for what has come. */
static void
wake_locked(Engine *engine)
{
    if (asleep_claim(&engine->asleep)) {
        backend_interrupt(engine);
    }
}

void
inbox_wake(Engine *engine)
{
    Inbox *inbox = &engine->inbox;
    pthread_mutex_lock(&inbox->mutex);
    wake_locked(engine);
    pthread_mutex_unlock(&inbox->mutex);
}

bool
inbox_post(Engine *engine, ReadyEntry *entry, bool wakes)
{
    Inbox *inbox = &engine->inbox;
    pthread_mutex_lock(&inbox->mutex);
    bool open = !inbox->closed;
    if (open) {
        ready_push(&inbox->entries, entry);
        atomic_store(&inbox->filled, true);
        if (wakes) {
            wake_locked(engine);
        }
    }
    pthread_mutex_unlock(&inbox->mutex);
    return open;
}

void
inbox_empty(Engine *engine)
{
    Inbox *inbox = &engine->inbox;
    pthread_mutex_lock(&inbox->mutex);
    atomic_store(&inbox->filled, false);
    ready_append(&engine->ready, &inbox->entries);
    engine->called = true;
    pthread_mutex_unlock(&inbox->mutex);
}

void
inbox_settle(Engine *engine)
{
    Inbox *inbox = &engine->inbox;
    pthread_mutex_lock(&inbox->mutex);
    asleep_set(&engine->asleep, false);
    pthread_mutex_unlock(&inbox->mutex);
}

void
inbox_close(Engine *engine)
{
    Inbox *inbox = &engine->inbox;
    ReadyQueue left = {0};
    pthread_mutex_lock(&inbox->mutex);
    inbox->closed = true;
    atomic_store(&inbox->filled, false);
    ready_append(&left, &inbox->entries);
    pthread_mutex_unlock(&inbox->mutex);
    ready_discard_all(&left); /* may run finalizers */
}

/* ---- errands ---- */

typedef struct Errand {
    ReadyEntry entry;
    PyObject *object; /* owned */
    int (*run)(PyObject *object);
} Errand;

static Errand *
errand_of(ReadyEntry *entry)
{
    return CONTAINER_OF(entry, Errand, entry);
}

static int
errand_run(ReadyEntry *entry, Engine *engine)
{
    Errand *errand = errand_of(entry);
    PyObject *object = errand->object;
    int err = report_contain(engine, errand->run(object), object);
    PyMem_RawFree(errand);
    Py_DECREF(object);
    return err;
}

/* Whoever asked has his answer, and that the loop calls nothing any more is no news: what it
 * had to call is dropped in silence, too. */
static void
discard_error(void)
{
    if (!engine_clear_closed_error()) {
        report_unraisable("the end of an object of a closed loop");
    }
}

static void
errand_discard(ReadyEntry *entry)
{
    Errand *errand = errand_of(entry);
    PyObject *raised = PyErr_GetRaisedException();
    if (errand->run(errand->object) < 0) {
        discard_error();
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
    Py_DECREF(errand->object);
    PyMem_RawFree(errand);
}

static int
errand_traverse(ReadyEntry *entry, visitproc visit, void *arg)
{
    Py_VISIT(errand_of(entry)->object);
    return 0;
}

static PyObject *
errand_subject(ReadyEntry *entry)
{
    return Py_NewRef(errand_of(entry)->object);
}

static const ReadyOps errand_ops = {
    .run = errand_run,
    .discard = errand_discard,
    .traverse = errand_traverse,
    .subject = errand_subject,
};

bool
inbox_send_home(Engine *engine, PyObject *object, int (*run)(PyObject *object))
{
    Errand *errand = PyMem_RawMalloc(sizeof(*errand));
    if (errand == NULL) {
        return false;
    }
    *errand = (Errand){
        .entry.ops = &errand_ops,
        .object = Py_NewRef(object),
        .run = run,
    };
    if (!inbox_post(engine, &errand->entry, true)) {
        PyMem_RawFree(errand);
        Py_DECREF(object);
        return false;
    }
    return true;
}
