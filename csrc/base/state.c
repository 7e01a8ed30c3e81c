/* The state of the module: made by module.c when the module is executed, read
 * by every other file through Engine.state or the type of an object. */
#include "base/state.h"

static PyObject *
import_attribute(const char *module_name, const char *attribute)
{
    PyObject *module = PyImport_ImportModule(module_name);
    if (module == NULL) {
        return NULL;
    }
    PyObject *value = PyObject_GetAttrString(module, attribute);
    Py_DECREF(module);
    return value;
}

static int
probe_format_callback(ModuleState *state)
{
    PyObject *defaults =
        PyObject_GetAttrString(state->format_callback, "__kwdefaults__");
    if (defaults == NULL) {
        return -1;
    }
    if (PyDict_Check(defaults)) {
        int found = PyDict_Contains(defaults, STATE_NAME(state, debug));
        state->format_callback_takes_debug = found > 0;
    }
    Py_DECREF(defaults);
    return PyErr_Occurred() ? -1 : 0;
}

int
module_state_init(ModuleState *state)
{
#define X(name, maximum) free_list_open(&state->name, maximum);
    STATE_FREE_LISTS(X)
#undef X
#define X(name)                                                               \
    state->names.name = PyUnicode_InternFromString(#name);                    \
    if (state->names.name == NULL) {                                          \
        return -1;                                                            \
    }
    STATE_NAMES(X)
#undef X
#define X(name, module, attribute)                                            \
    state->name = import_attribute(module, attribute);                        \
    if (state->name == NULL) {                                                \
        return -1;                                                            \
    }
    STATE_IMPORTS(X)
#undef X
    state->context_keyword = PyTuple_Pack(1, STATE_NAME(state, context));
    state->msg_keyword = PyTuple_Pack(1, STATE_NAME(state, msg));
    if (state->context_keyword == NULL || state->msg_keyword == NULL) {
        return -1;
    }
    return probe_format_callback(state);
}

int
module_state_traverse(ModuleState *state, visitproc visit, void *arg)
{
#define X(name) Py_VISIT(state->name);
    STATE_TYPES(X)
    STATE_OBJECTS(X)
#undef X
#define X(name, module, attribute) Py_VISIT(state->name);
    STATE_IMPORTS(X)
#undef X
    return 0;
}

void
module_state_clear(ModuleState *state)
{
#define X(name, maximum) free_list_close(&state->name);
    STATE_FREE_LISTS(X) /* first: these need the types */
#undef X
#define X(name) Py_CLEAR(state->name);
    STATE_TYPES(X)
    STATE_OBJECTS(X)
#undef X
#define X(name, module, attribute) Py_CLEAR(state->name);
    STATE_IMPORTS(X)
#undef X
#define X(name) Py_CLEAR(state->names.name);
    STATE_NAMES(X)
#undef X
}

static ModuleState *
state_of_type(PyTypeObject *type)
{
    PyObject *module = type->tp_flags & Py_TPFLAGS_HEAPTYPE
                           ? ((PyHeapTypeObject *)type)->ht_module
                           : NULL;
    return module != NULL && PyModule_GetDef(module) == &core_module
               ? PyModule_GetState(module)
               : NULL;
}

ModuleState *
module_state_of_dying(PyObject *object)
{
    return state_of_type(Py_TYPE(object));
}

ModuleState *
module_state_beneath_dying(PyObject *object)
{
    ModuleState *state = NULL;
    PyTypeObject *type = Py_TYPE(object);
    for (; state == NULL && type != NULL; type = type->tp_base) {
        state = state_of_type(type);
    }
    return state;
}

/* Steals `descriptor`, NULL on failure. */
static int
add_descriptor(PyTypeObject *type, const char *name, PyObject *descriptor)
{
    if (descriptor == NULL) {
        return -1;
    }
    int err = PyObject_SetAttrString((PyObject *)type, name, descriptor);
    Py_DECREF(descriptor);
    return err;
}

static bool
defines(PyTypeObject *type, const char *name)
{
    return PyDict_GetItemString(type->tp_dict, name) != NULL;
}

int
module_add_methods(PyTypeObject *type, PyMethodDef *methods)
{
    for (PyMethodDef *method = methods; method->ml_name; method++) {
        if (!defines(type, method->ml_name)
            && add_descriptor(type, method->ml_name,
                              PyDescr_NewMethod(type, method))
                   < 0) {
            return -1;
        }
    }
    return 0;
}

int
module_add_getset(PyTypeObject *type, PyGetSetDef *getset)
{
    for (PyGetSetDef *attribute = getset; attribute->name; attribute++) {
        if (!defines(type, attribute->name)
            && add_descriptor(type, attribute->name,
                              PyDescr_NewGetSet(type, attribute))
                   < 0) {
            return -1;
        }
    }
    return 0;
}

void
module_type_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)type->tp_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

int
module_add_type(PyObject *module, PyType_Spec *spec, PyObject *base,
                PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, base);
    if (*type == NULL) {
        return -1;
    }
    compat_type_is_shared(*type);
    return PyModule_AddType(module, *type);
}

PyObject *
module_import_base(const char *module, const char *name, Py_ssize_t reserved)
{
    PyObject *base = import_attribute(module, name);
    if (base == NULL) {
        return NULL;
    }
    if (!PyType_Check(base)
        || ((PyTypeObject *)base)->tp_basicsize > reserved) {
        PyErr_Format(PyExc_ImportError,
                     "pyaio does not fit this Python: %s.%s is larger than "
                     "the %zd bytes kept for it",
                     module, name, reserved);
        Py_DECREF(base);
        return NULL;
    }
    return base;
}

int
module_add_type_under(PyObject *module, PyType_Spec *spec,
                      const char *base_module, const char *base_name,
                      Py_ssize_t reserved, PyTypeObject **type)
{
    PyObject *base = module_import_base(base_module, base_name, reserved);
    int err = base == NULL ? -1 : module_add_type(module, spec, base, type);
    Py_XDECREF(base);
    return err;
}
