/* The attributes of an ordinary Python object, without a lookup for each: as the
 * collector visits them.
 *
 * Objects of a class written in Python share the keys of their attributes, which
 * only ever grow, and tp_traverse visits what an object has in the order of these
 * keys, then its class. So while as many are visited as before, none has been added
 * and each stands where it stood: callers look at them by name before, and when the
 * number has changed. Of an object with a __dict__ of its own only that is seen. */
#ifndef PYAIO_BASE_INSTANCE_VALUES_H
#define PYAIO_BASE_INSTANCE_VALUES_H

#include <Python.h>

#define INSTANCE_VALUES_MAXIMUM 30

typedef struct InstanceValues {
    int count;
    PyObject *values[INSTANCE_VALUES_MAXIMUM]; /* borrowed from the object */
} InstanceValues;

static int
instance_values_visit(PyObject *value, void *arg)
{
    InstanceValues *found = arg;
    if (found->count == INSTANCE_VALUES_MAXIMUM) {
        return 1; /* there may be more: nothing can be told of these */
    }
    found->values[found->count++] = value;
    return 0;
}

/* They stay valid until other code runs. */
static inline void
instance_values_of(PyObject *object, InstanceValues *found)
{
    found->count = 0;
    (void)Py_TYPE(object)->tp_traverse(object, instance_values_visit, found);
}

/* The place of `value` among them; -1 when it is not there. */
static inline int
instance_values_place(const InstanceValues *found, PyObject *value)
{
    for (int i = 0; i < found->count; i++) {
        if (found->values[i] == value) {
            return i;
        }
    }
    return -1;
}

#endif
