/* Which share of the CPU time is spent in one extension module, and in what it calls: looks at
 * the C stack of the running process at every tick of its CPU clock. share.py uses it.
 *
 * On a stack, from the innermost frame outwards, whatever comes first decides: a frame of the
 * module, then the moment is the module's, be it in the kernel or in the allocator; or the
 * evaluation of Python code, then it is that code's. To be found there on every build, the
 * evaluation is entered by way of this file (PEP 523); so Python functions call each other
 * more slowly than usual, and the module's share is rather too small than too large. */
#include "../common/module.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>

enum {
    SAMPLES = 16384, /* more are not kept */
    DEPTH = 24,      /* frames of each */
    OWN_FRAMES = 2,  /* the handler's, and the one that the kernel put in */
    INTERVAL_US = 1000,
};

typedef struct {
    void *frames[DEPTH];
    int count;
} Sample;

static Sample samples[SAMPLES];
static volatile sig_atomic_t used;

static void
on_tick(int number)
{
    (void)number;
    if (used < SAMPLES) {
        Sample *sample = &samples[used];
        sample->count = backtrace(sample->frames, DEPTH);
        used++;
    }
}

/* Stands on the stack below what evaluates a frame; no tail call, which would not. */
static PyObject *
evaluate(PyThreadState *thread, struct _PyInterpreterFrame *frame, int raises)
{
    PyObject *result = _PyEval_EvalFrameDefault(thread, frame, raises);
    __asm__ volatile("" ::: "memory");
    return result;
}

static int
set_timer(int microseconds)
{
    struct itimerval timer = {{0, microseconds}, {0, microseconds}};
    return setitimer(ITIMER_PROF, &timer, NULL);
}

static PyObject *
start(PyObject *module, PyObject *nothing)
{
    (void)module;
    (void)nothing;
    void *first[1];
    backtrace(first, 1); /* loads what it needs, which a handler must not */
    used = 0;
    _PyInterpreterState_SetEvalFrameFunc(PyInterpreterState_Get(), evaluate);
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    if (sigaction(SIGPROF, &action, NULL) != 0
        || set_timer(INTERVAL_US) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

static const char *
own_file(void)
{
    Dl_info found;
    return dladdr((void *)samples, &found) != 0 ? found.dli_fname : "";
}

static int
is_of_module(const Sample *sample, const char *file)
{
    const char *own = own_file();
    for (int i = OWN_FRAMES; i < sample->count; i++) {
        Dl_info found;
        /* Minus one: what is on the stack is where a call returns to. */
        if (dladdr((char *)sample->frames[i] - 1, &found) == 0) {
            continue;
        }
        if (strcmp(found.dli_fname, file) == 0) {
            return 1;
        }
        if (strcmp(found.dli_fname, own) == 0) {
            return 0; /* evaluate() */
        }
    }
    return 0;
}

/* stop(file) -> how many samples were of the module in this file, how many there were. */
static PyObject *
stop(PyObject *module, PyObject *file)
{
    (void)module;
    const char *name = PyUnicode_AsUTF8(file);
    if (name == NULL) {
        return NULL;
    }
    if (set_timer(0) != 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    _PyInterpreterState_SetEvalFrameFunc(PyInterpreterState_Get(),
                                         _PyEval_EvalFrameDefault);
    int of_module = 0;
    for (int i = 0; i < used; i++) {
        of_module += is_of_module(&samples[i], name);
    }
    return Py_BuildValue("ii", of_module, (int)used);
}

static PyMethodDef METHODS[] = {
    {"start", start, METH_NOARGS, "Begins to look at the stack."},
    {"stop", stop, METH_O,
     "Ends it; how many looks found this module at work, and how many there "
     "were."},
    {NULL, NULL, 0, NULL},
};

PyMODINIT_FUNC
PyInit_stacks(void)
{
    return module_of("stacks", METHODS);
}
