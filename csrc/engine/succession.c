/* The end of a succession of entries: see succession.h. */
#include "engine/succession.h"

#include "base/compat.h"
#include "engine/report.h"

PLATFORM_HOT void
engine_leave_entered(Engine *engine)
{
    PyObject *raised = PyErr_GetRaisedException();
    if (snapshot_leave_entered(engine->state, &engine->entered) < 0) {
        report_unraisable("the end of a callback");
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}
