/* The Loop type's C half: pyaio._core.Loop, under pyaio.Loop. */
#ifndef PYAIO_API_LOOP_H
#define PYAIO_API_LOOP_H

#include "engine/engine.h"

typedef struct LoopObject {
    PyObject_HEAD
    Engine engine;
    PyObject *task_factory; /* owned, or NULL for none */
    /* Whether sock_*() may be ours, and the version tags of the loop's type and of
     * socket.socket for which that holds; 0: unknown (api/sock_method.c). */
    bool sock_calls_are_ours;
    unsigned int sock_loop_version;
    unsigned int sock_socket_version;
} LoopObject;

_Static_assert(offsetof(LoopObject, engine) == offsetof(EngineOwner, engine),
               "engine_of_loop() finds the engine");

/* The methods, by the file that defines them. */
extern PyMethodDef loop_schedule_methods[]; /* loop_schedule.c */
extern PyMethodDef loop_run_methods[];      /* loop_run.c */
extern PyMethodDef loop_turn_methods[];     /* loop_turn.c */
extern PyMethodDef loop_net_methods[];      /* loop_net.c */

/* The time of a timer, in seconds of loop.time(). -1 with TypeError or, for NaN,
 * ValueError. loop_schedule.c. */
int loop_timer_seconds(PyObject *when, double *seconds);

int loop_setup(PyObject *module, ModuleState *state);

/* Defines Loop_name_visit(), which the tables have: Loop_name() between ENGINE_BEGIN()
 * and ENGINE_END(). */
#define VISIT(name, parameters, arguments)                                    \
    static PyObject *Loop_##name##_visit parameters                           \
    {                                                                         \
        PyObject *result;                                                     \
        ENGINE_BEGIN(&self->engine);                                          \
        result = Loop_##name arguments;                                       \
        ENGINE_END();                                                         \
        return result;                                                        \
    }
#define VISIT_ONE(name)                                                       \
    VISIT(name, (LoopObject * self, PyObject * arg), (self, arg))
#define VISIT_FASTCALL(name)                                                  \
    VISIT(name,                                                               \
          (LoopObject * self, PyObject *const *args, Py_ssize_t nargs,        \
           PyObject *kwnames),                                                \
          (self, args, nargs, kwnames))
#define VISIT_KEYWORDS(name)                                                  \
    VISIT(name, (LoopObject * self, PyObject * args, PyObject * kwargs),      \
          (self, args, kwargs))

#endif
