/* The hot path again, in C. `Caller` is a caller of `callers.py` for what most calls are: Tensors
 * and Python numbers on the first CPU device, with no tape or one that records. Everything else,
 * errors included, goes to the Python function that each caller wraps, which remains the
 * definition of what a call means. `pull` is `backward.pull`: one step of the backward walk;
 * `sweep` takes the steps that need nothing else.
 *
 * Tensor, Record and Recorder stay Python classes with __slots__; `setup` looks up where their
 * slots lie. Nothing here knows NumPy's C interface: kernels are called as any Python callable.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

/* What `setup` was given. */
static PyTypeObject *tensor_type, *record_type, *recorder_type;
static PyObject *array_type, *cpu, *asarray, *plain_dtypes;
static PyObject *interpreter_variable, *arrays_interpreter; /* see dispatch.py */
static PyObject *device_variable; /* the current device: see devices/device.py */
static PyObject *name_shape, *name_dtype, *name_prune, *name_arrays;

/* Offsets of slots. */
static Py_ssize_t t_data, t_device, t_rec;
static Py_ssize_t r_op, r_parents, r_saved, r_attrs, r_shape, r_dtype, r_device, r_tape;
static Py_ssize_t c_records, c_recording, c_limit;

/* Gradients of fewer elements are added out of place. */
#define SMALL 4096

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

static inline void
set_slot(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    /* Of a new object, whose slots are empty. */
    SLOT(object, offset) = Py_NewRef(value);
}

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *op;
    PyObject *kernel;
    PyObject *fallback;
    PyObject *dict;
    /* keep[m]: what is kept if a tape follows input 1 (m = 1), input 2 (m = 2), or both (m = 3):
     * bits 0 and 1 the inputs, bit 2 the result. */
    int keep[4];
    int arity;
} Caller;

static int
is_number(PyObject *x)
{
    PyTypeObject *type = Py_TYPE(x);
    return type == &PyFloat_Type || type == &PyLong_Type || type == &PyBool_Type || type == &PyComplex_Type;
}

/* Whether Python numbers are weak beside this array: not so beside extension dtypes. */
static int
holds_numbers_weak(PyObject *array)
{
    PyObject *dtype = PyObject_GetAttr(array, name_dtype);
    if (dtype == NULL) {
        PyErr_Clear();
        return 0;
    }
    int found = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(plain_dtypes); i++) {
        if (PyTuple_GET_ITEM(plain_dtypes, i) == dtype) {
            found = 1;
            break;
        }
    }
    Py_DECREF(dtype);
    return found;
}

static PyObject *
kept_tuple(Caller *self, int mask, PyObject *const *arrays, PyObject *data)
{
    PyObject *kept = PyTuple_New(self->arity + 1);
    if (kept == NULL) {
        return NULL;
    }
    int keep = self->keep[mask];
    for (int i = 0; i < self->arity; i++) {
        PyTuple_SET_ITEM(kept, i, Py_NewRef(keep >> i & 1 ? arrays[i] : Py_None));
    }
    PyTuple_SET_ITEM(kept, self->arity, Py_NewRef(keep >> 2 & 1 ? data : Py_None));
    return kept;
}

/* Make the record of a call and append it to the tape. */
static PyObject *
new_record(Caller *self, PyObject *tape, int mask, PyObject *const *recs, PyObject *const *arrays, PyObject *data)
{
    PyObject *record = NULL, *parents = NULL, *kept = NULL, *shape = NULL, *dtype = NULL;
    parents = PyTuple_New(self->arity);
    if (parents == NULL) {
        goto done;
    }
    for (int i = 0; i < self->arity; i++) {
        PyTuple_SET_ITEM(parents, i, Py_NewRef(recs[i]));
    }
    kept = kept_tuple(self, mask, arrays, data);
    if (self->arity == 1 && SLOT(recs[0], r_shape) != NULL) {
        shape = Py_NewRef(SLOT(recs[0], r_shape)); /* an elementwise op of one input keeps its shape */
    }
    else {
        shape = PyObject_GetAttr(data, name_shape);
    }
    dtype = PyObject_GetAttr(data, name_dtype);
    if (kept == NULL || shape == NULL || dtype == NULL) {
        goto done;
    }
    record = record_type->tp_alloc(record_type, 0);
    if (record == NULL) {
        goto done;
    }
    set_slot(record, r_op, self->op);
    set_slot(record, r_parents, parents);
    set_slot(record, r_saved, kept);
    set_slot(record, r_attrs, Py_None);
    set_slot(record, r_shape, shape);
    set_slot(record, r_dtype, dtype);
    set_slot(record, r_device, cpu);
    set_slot(record, r_tape, tape);
    PyObject *records = SLOT(tape, c_records), *limit = SLOT(tape, c_limit);
    if (records == NULL || !PyList_CheckExact(records) || PyList_Append(records, record) < 0) {
        Py_CLEAR(record);
        goto done;
    }
    if (limit != NULL && PyList_GET_SIZE(records) > PyLong_AsSsize_t(limit)) {
        PyObject *none = PyObject_CallMethodNoArgs(tape, name_prune);
        if (none == NULL) {
            Py_CLEAR(record);
            goto done;
        }
        Py_DECREF(none);
    }
done:
    Py_XDECREF(parents);
    Py_XDECREF(kept);
    Py_XDECREF(shape);
    Py_XDECREF(dtype);
    return record;
}

/* Whether ops called with bare arrays give bare arrays: while a gradient function runs on them. */
static int
runs_on_arrays(void)
{
    PyObject *interpreter;
    if (PyContextVar_Get(interpreter_variable, NULL, &interpreter) < 0) {
        PyErr_Clear();
        return 0;
    }
    Py_XDECREF(interpreter);
    return interpreter == arrays_interpreter;
}

/* Blocks of the program that ask for a device, in all threads. */
static long asked;

/* Whether operations on Tensors of the first CPU device stay there. */
static int
stays(void)
{
    PyObject *device;
    if (PyContextVar_Get(device_variable, NULL, &device) < 0) {
        PyErr_Clear();
        return 0;
    }
    Py_XDECREF(device);
    return device == cpu;
}

static PyObject *
set_asked(PyObject *module, PyObject *count)
{
    asked = PyLong_AsLong(count);
    if (asked == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
caller_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Caller *self = (Caller *)callable;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    PyObject *arrays[2], *recs[2] = {Py_None, Py_None}, *tape = NULL;
    PyObject *numbers_beside = NULL;
    int mask = 0, tensors = 0, numbers = 0, bare = 0;

    if (count != self->arity || (kwnames != NULL && PyTuple_GET_SIZE(kwnames))) {
        goto general;
    }
    for (int i = 0; i < self->arity; i++) {
        PyObject *x = args[i];
        if (Py_TYPE(x) == tensor_type) {
            if (SLOT(x, t_device) != cpu || SLOT(x, t_data) == NULL || SLOT(x, t_rec) == NULL) {
                goto general;
            }
            arrays[i] = numbers_beside = SLOT(x, t_data);
            tensors++;
            PyObject *rec = SLOT(x, t_rec);
            if (rec != Py_None) {
                PyObject *its_tape = SLOT(rec, r_tape);
                if (its_tape == NULL || Py_TYPE(its_tape) != recorder_type || (tape != NULL && tape != its_tape)) {
                    goto general;
                }
                tape = its_tape;
                recs[i] = rec;
                mask |= 1 << i;
            }
        }
        else if (is_number(x)) {
            arrays[i] = x;
            numbers++;
        }
        else if ((PyObject *)Py_TYPE(x) == array_type) {
            arrays[i] = x;
            bare++;
        }
        else {
            goto general;
        }
    }
    if (bare) {
        if (tensors || !runs_on_arrays()) {
            goto general;
        }
        PyObject *array = PyObject_Vectorcall(self->kernel, arrays, self->arity, NULL);
        if (array == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_Clear();
            goto general;
        }
        return array;
    }
    if (!tensors || (numbers && !holds_numbers_weak(numbers_beside)) || (asked && !stays())) {
        goto general;
    }
    /* A kernel may release the interpreter lock, and another thread assign to the Tensors. */
    for (int i = 0; i < self->arity; i++) {
        Py_INCREF(arrays[i]);
        Py_INCREF(recs[i]);
    }
    Py_XINCREF(tape);
    PyObject *result = NULL;
    PyObject *data = PyObject_Vectorcall(self->kernel, arrays, self->arity, NULL);
    int failed_in_kernel = data == NULL;
    if (data != NULL && (PyObject *)Py_TYPE(data) != array_type) {
        Py_SETREF(data, PyObject_CallOneArg(asarray, data));
    }
    if (data != NULL) {
        result = tensor_type->tp_alloc(tensor_type, 0);
    }
    if (result != NULL) {
        PyObject *record;
        if (tape != NULL && SLOT(tape, c_recording) == Py_True) {
            record = new_record(self, tape, mask, recs, arrays, data);
        }
        else {
            record = Py_NewRef(Py_None);
        }
        if (record == NULL) {
            Py_CLEAR(result);
        }
        else {
            set_slot(result, t_data, data);
            set_slot(result, t_device, cpu);
            SLOT(result, t_rec) = record;
        }
    }
    for (int i = 0; i < self->arity; i++) {
        Py_DECREF(arrays[i]);
        Py_DECREF(recs[i]);
    }
    Py_XDECREF(tape);
    Py_XDECREF(data);
    if (result == NULL && failed_in_kernel && PyErr_ExceptionMatches(PyExc_Exception)) {
        /* The Python function fails in the same way, and explains it. */
        PyErr_Clear();
        goto general;
    }
    return result;

general:
    return PyObject_Vectorcall(self->fallback, args, nargsf, kwnames);
}

static int
caller_traverse(Caller *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->op);
    Py_VISIT(self->kernel);
    Py_VISIT(self->fallback);
    Py_VISIT(self->dict);
    return 0;
}

static int
caller_clear(Caller *self)
{
    Py_CLEAR(self->op);
    Py_CLEAR(self->kernel);
    Py_CLEAR(self->fallback);
    Py_CLEAR(self->dict);
    return 0;
}

static void
caller_dealloc(Caller *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    caller_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
caller_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *op, *kernel, *fallback, *keeps;
    int arity;
    if (!PyArg_ParseTuple(args, "OOOiO!", &op, &kernel, &fallback, &arity, &PyTuple_Type, &keeps)) {
        return NULL;
    }
    if (tensor_type == NULL || arity < 1 || arity > 2 || PyTuple_GET_SIZE(keeps) != 4) {
        PyErr_SetString(PyExc_ValueError, "Caller: not set up, or arity and keeps do not fit");
        return NULL;
    }
    Caller *self = (Caller *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->vectorcall = caller_call;
    self->op = Py_NewRef(op);
    self->kernel = Py_NewRef(kernel);
    self->fallback = Py_NewRef(fallback);
    self->arity = arity;
    for (int i = 0; i < 4; i++) {
        self->keep[i] = (int)PyLong_AsLong(PyTuple_GET_ITEM(keeps, i));
    }
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *
caller_get(PyObject *self, PyObject *object, PyObject *type)
{
    return object == NULL || object == Py_None ? Py_NewRef(self) : PyMethod_New(self, object);
}

static PyObject *
caller_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyObject_GetAttrString(self, "__qualname__"); /* pickled by name, as functions are */
}

static PyObject *
caller_repr(PyObject *self)
{
    PyObject *name = PyObject_GetAttrString(self, "__qualname__");
    if (name == NULL) {
        PyErr_Clear();
        return PyUnicode_FromString("<caller>");
    }
    PyObject *text = PyUnicode_FromFormat("<function %U>", name);
    Py_DECREF(name);
    return text;
}

static PyObject *
caller_set_kernel(PyObject *self, PyObject *kernel)
{
    Py_XSETREF(((Caller *)self)->kernel, Py_NewRef(kernel));
    Py_RETURN_NONE;
}

static PyMethodDef caller_methods[] = {
    {"set_kernel", caller_set_kernel, METH_O, "Use another kernel."},
    {"__reduce__", caller_reduce, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef caller_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Caller, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(Caller, dict), READONLY, NULL},
    {NULL},
};

static PyGetSetDef caller_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

static PyType_Slot caller_slots[] = {
    {Py_tp_new, caller_new},         {Py_tp_dealloc, caller_dealloc}, {Py_tp_traverse, caller_traverse},
    {Py_tp_clear, caller_clear},     {Py_tp_call, PyVectorcall_Call}, {Py_tp_descr_get, caller_get},
    {Py_tp_methods, caller_methods}, {Py_tp_members, caller_members}, {Py_tp_getset, caller_getset},
    {Py_tp_repr, caller_repr},       {0, NULL},
};

static PyType_Spec caller_spec = {
    .name = "eagerflow.core._fast.Caller",
    .basicsize = sizeof(Caller),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = caller_slots,
};

static Py_ssize_t
offset_of(PyTypeObject *type, const char *name)
{
    PyObject *descriptor = PyObject_GetAttrString((PyObject *)type, name);
    if (descriptor == NULL) {
        return -1;
    }
    Py_ssize_t offset = -1;
    if (Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) {
        offset = ((PyMemberDescrObject *)descriptor)->d_member->offset;
    }
    else {
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
    }
    Py_DECREF(descriptor);
    return offset;
}

static PyObject *
setup(PyObject *module, PyObject *args)
{
    if (tensor_type != NULL) {
        Py_RETURN_NONE;
    }
    PyTypeObject *tensor, *record, *recorder;
    if (!PyArg_ParseTuple(
            args, "O!O!O!OOOO!OOO", &PyType_Type, &tensor, &PyType_Type, &record, &PyType_Type, &recorder, &array_type,
            &cpu, &asarray, &PyTuple_Type, &plain_dtypes, &interpreter_variable, &arrays_interpreter,
            &device_variable)) {
        return NULL;
    }
    struct {
        PyTypeObject *type;
        const char *name;
        Py_ssize_t *offset;
    } wanted[] = {
        {tensor, "_held", &t_data},           {tensor, "_device", &t_device},   {tensor, "_rec", &t_rec},
        {record, "op", &r_op},                {record, "parents", &r_parents},  {record, "saved", &r_saved},
        {record, "attrs", &r_attrs},          {record, "shape", &r_shape},      {record, "dtype", &r_dtype},
        {record, "device", &r_device},        {record, "tape", &r_tape},        {recorder, "records", &c_records},
        {recorder, "recording", &c_recording}, {recorder, "limit", &c_limit},
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        *wanted[i].offset = offset_of(wanted[i].type, wanted[i].name);
        if (*wanted[i].offset < 0) {
            return NULL;
        }
    }
    name_shape = PyUnicode_InternFromString("shape");
    name_dtype = PyUnicode_InternFromString("dtype");
    name_prune = PyUnicode_InternFromString("prune");
    name_arrays = PyUnicode_InternFromString("arrays");
    if (name_shape == NULL || name_dtype == NULL || name_prune == NULL || name_arrays == NULL) {
        return NULL;
    }
    /* For the life of the process. */
    Py_INCREF(array_type);
    Py_INCREF(cpu);
    Py_INCREF(asarray);
    Py_INCREF(plain_dtypes);
    Py_INCREF(interpreter_variable);
    Py_INCREF(arrays_interpreter);
    Py_INCREF(device_variable);
    record_type = (PyTypeObject *)Py_NewRef(record);
    recorder_type = (PyTypeObject *)Py_NewRef(recorder);
    tensor_type = (PyTypeObject *)Py_NewRef(tensor);
    Py_RETURN_NONE;
}

/* Forms of a gradient function's call; see pullback.py. */
enum { UNCHANGED, ALONE, WITH_ONE, WITH_TWO, GENERAL };

static PyObject *
call_form(PyObject *entry, PyObject *g, PyObject *record, PyObject *saved, Py_ssize_t index)
{
    if (!PyTuple_CheckExact(entry) || PyTuple_GET_SIZE(entry) != 4) {
        PyErr_SetString(PyExc_TypeError, "pull: a pullback is (form, function, first, second)");
        return NULL;
    }
    long form = PyLong_AsLong(PyTuple_GET_ITEM(entry, 0));
    PyObject *function = PyTuple_GET_ITEM(entry, 1);
    PyObject *args[3] = {g, NULL, NULL};
    size_t count = 1;
    if (form == UNCHANGED) {
        return Py_NewRef(g);
    }
    if (form == WITH_ONE || form == WITH_TWO) {
        if (saved == NULL || !PyTuple_CheckExact(saved)) {
            PyErr_SetString(PyExc_RuntimeError, "pull: what this record kept has been let go of");
            return NULL;
        }
        for (; count < (form == WITH_TWO ? 3 : 2); count++) {
            Py_ssize_t slot = PyLong_AsSsize_t(PyTuple_GET_ITEM(entry, count + 1));
            if (slot < 0 || slot >= PyTuple_GET_SIZE(saved)) {
                PyErr_SetString(PyExc_IndexError, "pull: no such slot");
                return NULL;
            }
            args[count] = PyTuple_GET_ITEM(saved, slot);
        }
    }
    if (form == GENERAL) {
        PyObject *position = PyLong_FromSsize_t(index);
        if (position == NULL) {
            return NULL;
        }
        args[1] = record;
        args[2] = position;
        PyObject *result = PyObject_Vectorcall(function, args, 3, NULL);
        Py_DECREF(position);
        return result;
    }
    return PyObject_Vectorcall(function, args, count, NULL);
}

/* 1 if the gradient has the shape and the dtype of the parent, and few elements in *small. */
static int
fits(PyObject *gradient, PyObject *parent, int *small)
{
    PyObject *shape = PyObject_GetAttr(gradient, name_shape);
    PyObject *dtype = shape == NULL ? NULL : PyObject_GetAttr(gradient, name_dtype);
    int result = -1;
    if (dtype != NULL) {
        result = dtype == SLOT(parent, r_dtype);
        if (result) {
            result = PyObject_RichCompareBool(shape, SLOT(parent, r_shape), Py_EQ);
        }
        Py_ssize_t size = 1;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(shape) && size < SMALL; i++) {
            size *= PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i));
        }
        *small = size < SMALL;
    }
    Py_XDECREF(shape);
    Py_XDECREF(dtype);
    return result;
}

static int
pull_record(PyObject *record, PyObject *g, PyObject *pullbacks, PyObject *gradients, PyObject *needed, PyObject *fit,
            PyObject *add)
{
    PyObject *parents = Py_NewRef(SLOT(record, r_parents)), *saved = Py_NewRef(SLOT(record, r_saved));
    PyObject *gradient = NULL;
    int result = -1;
    Py_ssize_t index, last = PyTuple_GET_SIZE(pullbacks) - 1;
    for (index = 0; index < PyTuple_GET_SIZE(parents); index++) {
        PyObject *parent = PyTuple_GET_ITEM(parents, index);
        PyObject *entry = PyTuple_GET_ITEM(pullbacks, index < last ? index : last);
        if (parent == Py_None || entry == Py_None) {
            continue;
        }
        if (needed != Py_None) {
            int wanted = PySet_Contains(needed, parent);
            if (wanted < 0) {
                goto done;
            }
            if (!wanted) {
                continue;
            }
        }
        gradient = call_form(entry, g, record, saved, index);
        if (gradient == NULL) {
            goto done;
        }
        int small = 0, fitting = 0;
        if ((PyObject *)Py_TYPE(gradient) == array_type) {
            fitting = fits(gradient, parent, &small);
            if (fitting < 0) {
                goto done;
            }
        }
        if (!fitting) {
            PyObject *pair[2] = {gradient, parent};
            Py_SETREF(gradient, PyObject_Vectorcall(fit, pair, 2, NULL));
            if (gradient == NULL) {
                goto done;
            }
        }
        PyObject *previous = PyDict_GetItemWithError(gradients, parent);
        if (previous == NULL) {
            if (PyErr_Occurred()) {
                goto done;
            }
        }
        else if (small) {
            Py_INCREF(previous);
            PyObject *total = PyNumber_Add(previous, gradient);
            Py_DECREF(previous);
            Py_SETREF(gradient, total);
        }
        else {
            PyObject *three[3] = {gradients, parent, gradient};
            Py_SETREF(gradient, PyObject_Vectorcall(add, three, 3, NULL));
        }
        if (gradient == NULL || PyDict_SetItem(gradients, parent, gradient) < 0) {
            goto done;
        }
        Py_CLEAR(gradient);
    }
    result = 0;
done:
    Py_XDECREF(gradient);
    Py_DECREF(parents);
    Py_DECREF(saved);
    if (result < 0) {
        /* The walk wants to say for which input. */
        PyObject *type, *value, *traceback, *position = PyLong_FromSsize_t(index);
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        if (position != NULL && value != NULL && PyObject_SetAttrString(value, "_eagerflow_input", position) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(position);
        PyErr_Restore(type, value, traceback);
    }
    return result;
}

static PyObject *
pull(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 7 || Py_TYPE(args[0]) != record_type || !PyTuple_Check(args[2]) || !PyDict_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError, "pull(record, g, pullbacks, gradients, needed, fit, add)");
        return NULL;
    }
    if (pull_record(args[0], args[1], args[2], args[3], args[4], args[5], args[6]) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* 1 if `record` is one that `sweep` can pass, with its gradient functions in *pullbacks: a new reference. */
static int
is_plain(PyObject *record, PyObject *g, PyObject *recorder, PyObject *inner, PyObject **pullbacks)
{
    if (SLOT(record, r_tape) != recorder || SLOT(record, r_device) != cpu || (PyObject *)Py_TYPE(g) != array_type) {
        return 0;
    }
    if (PySet_GET_SIZE(inner)) {
        int wanted = PySet_Contains(inner, record);
        if (wanted) {
            return wanted < 0 ? -1 : 0;
        }
    }
    *pullbacks = PyObject_GetAttr(SLOT(record, r_op), name_arrays);
    if (*pullbacks == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    if (!PyTuple_CheckExact(*pullbacks)) {
        Py_CLEAR(*pullbacks);
        return 0;
    }
    return 1;
}

static PyObject *
sweep(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 9 || !PyList_CheckExact(args[0]) || !PyLong_Check(args[1]) || Py_TYPE(args[2]) != recorder_type ||
        !PyDict_CheckExact(args[3]) || !PySet_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError, "sweep(records, position, recorder, gradients, needed, inner, release, fit, add)");
        return NULL;
    }
    PyObject *records = args[0], *recorder = args[2], *gradients = args[3], *needed = args[4], *inner = args[5];
    int release = args[6] == Py_True;
    Py_ssize_t position = PyLong_AsSsize_t(args[1]);
    if (SLOT(recorder, c_recording) != Py_False) {
        return PyLong_FromSsize_t(position);
    }
    for (; position >= 0 && position < PyList_GET_SIZE(records); position++) {
        PyObject *record = PyList_GET_ITEM(records, position);
        if (Py_TYPE(record) != record_type) {
            break;
        }
        PyObject *g = PyDict_GetItemWithError(gradients, record);
        if (g == NULL && PyErr_Occurred()) {
            return NULL;
        }
        if (g != NULL) {
            PyObject *pullbacks = NULL;
            int plain = is_plain(record, g, recorder, inner, &pullbacks);
            if (plain < 0) {
                return NULL;
            }
            if (!plain) {
                break;
            }
            Py_INCREF(record);
            Py_INCREF(g);
            int failed = PyDict_DelItem(gradients, record) < 0 ||
                         pull_record(record, g, pullbacks, gradients, needed, args[7], args[8]) < 0;
            Py_DECREF(g);
            Py_DECREF(pullbacks);
            if (failed) {
                /* The walk wants to say in which op. */
                PyObject *type, *value, *traceback;
                PyErr_Fetch(&type, &value, &traceback);
                PyErr_NormalizeException(&type, &value, &traceback);
                if (value != NULL && PyObject_SetAttrString(value, "_eagerflow_op", SLOT(record, r_op)) < 0) {
                    PyErr_Clear();
                }
                PyErr_Restore(type, value, traceback);
                Py_DECREF(record);
                return NULL;
            }
            Py_DECREF(record);
        }
        if (release && SLOT(record, r_tape) == recorder) {
            /* What the record kept; what this frees may run Python code. */
            PyObject *kept = SLOT(record, r_saved);
            SLOT(record, r_saved) = Py_NewRef(Py_None);
            Py_XDECREF(kept);
        }
    }
    return PyLong_FromSsize_t(position);
}

static PyMethodDef module_methods[] = {
    {"pull", (PyCFunction)(void (*)(void))pull, METH_FASTCALL, "pull(record, g, pullbacks, gradients, needed, fit, add)"},
    {"sweep", (PyCFunction)(void (*)(void))sweep, METH_FASTCALL,
     "sweep(records, position, recorder, gradients, needed, inner, release, fit, add)"},
    {"setup", setup, METH_VARARGS, "setup(Tensor, Record, Recorder, ndarray, cpu, asarray, dtypes, interpreter, arrays, device): once, at import."},
    {"set_asked", set_asked, METH_O, "set_asked(count): how many blocks of the program ask for a device."},
    {NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_fast",
    .m_doc = "The hot path in C: callers of elementwise ops (callers.py), a step of the backward walk (backward.py).",
    .m_size = -1,
    .m_methods = module_methods,
};

PyMODINIT_FUNC
PyInit__fast(void)
{
    PyObject *module = PyModule_Create(&module_definition);
    if (module == NULL) {
        return NULL;
    }
    PyObject *type = PyType_FromSpec(&caller_spec);
    if (type == NULL || PyModule_AddObjectRef(module, "Caller", type) < 0) {
        Py_XDECREF(type);
        Py_DECREF(module);
        return NULL;
    }
    Py_DECREF(type);
    return module;
}
