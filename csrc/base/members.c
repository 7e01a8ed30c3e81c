/* Getters by the offset of a field: see members.h. */
#include "base/members.h"

#include "base/compat.h"

#include <stdbool.h>

static const void *
field_at(PyObject *self, void *offset)
{
    return (const char *)self + (size_t)offset;
}

PyObject *
member_object(PyObject *self, void *offset)
{
    return or_none(*(PyObject *const *)field_at(self, offset));
}

PyObject *
member_shared(PyObject *self, void *offset)
{
    PyObject *value;
    Py_BEGIN_CRITICAL_SECTION(self);
    value = member_object(self, offset);
    Py_END_CRITICAL_SECTION();
    return value;
}

PyObject *
member_flag(PyObject *self, void *offset)
{
    return PyBool_FromLong(*(const bool *)field_at(self, offset));
}

PyObject *
member_size(PyObject *self, void *offset)
{
    return PyLong_FromSize_t(*(const size_t *)field_at(self, offset));
}

PyObject *
member_count(PyObject *self, void *offset)
{
    return PyLong_FromSsize_t(*(const Py_ssize_t *)field_at(self, offset));
}

PyObject *
member_int(PyObject *self, void *offset)
{
    return PyLong_FromLong(*(const int *)field_at(self, offset));
}
