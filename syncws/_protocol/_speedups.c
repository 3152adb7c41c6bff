/* The functions of codec.py in C: the same results to the byte, many times as fast.
 *
 * Each is a pure function of its arguments but for the list that `parse` appends to. Nothing here has state,
 * keeps a reference or a pointer when it returns, runs Python code, or lets another thread of the interpreter
 * run in between. So it is right without the interpreter lock, too: what is read is immutable, or is made so
 * first.
 *
 * Only the limited API is used (that of CPython 3.10), so that one binary serves all later versions; it has no
 * access to buffers, which is why all data here is `bytes`.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum {
    TEXT_FRAME = 0x81,   /* FIN and the opcode (RFC 6455 5.2) */
    BINARY_FRAME = 0x82,
    MASKED = 0x80,
    KEY_SIZE = 4,
    LARGEST_HEADER = 10  /* without its key */
};

/* The header of a frame with a payload of `length` bytes, without its key; returns how long it is. */
static Py_ssize_t
write_header(unsigned char *out, unsigned char head_byte, Py_ssize_t length)
{
    out[0] = head_byte;
    if (length < 126) {
        out[1] = (unsigned char)(MASKED | length);
        return 2;
    }
    if (length < 65536) {
        out[1] = MASKED | 126;
        out[2] = (unsigned char)(length >> 8);
        out[3] = (unsigned char)(length & 255);
        return 4;
    }
    out[1] = MASKED | 127;
    for (int place = 0; place < 8; place++) {
        out[2 + place] = (unsigned char)((uint64_t)length >> (56 - 8 * place) & 255);
    }
    return 10;
}

static Py_ssize_t
header_size(Py_ssize_t length)
{
    return length < 126 ? 2 : length < 65536 ? 4 : LARGEST_HEADER;
}

/* RFC 6455 5.3 for `length` bytes, of which the first meets the byte `phase` of the key. */
static void
mask_into(unsigned char *out, const unsigned char *in, Py_ssize_t length, const unsigned char *key, int phase)
{
    unsigned char repeated[8];
    uint64_t wide;
    Py_ssize_t at = 0;

    for (int place = 0; place < 8; place++) {
        repeated[place] = key[(phase + place) % KEY_SIZE];
    }
    memcpy(&wide, repeated, 8);
    /* Words are read and written by memcpy, which compilers turn into plain moves: no address needs to be a
     * multiple of anything, and the order of the bytes in a word does not matter. */
    for (; length - at >= 32; at += 32) {
        uint64_t words[4];
        memcpy(words, in + at, 32);
        words[0] ^= wide;
        words[1] ^= wide;
        words[2] ^= wide;
        words[3] ^= wide;
        memcpy(out + at, words, 32);
    }
    for (; length - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, in + at, 8);
        word ^= wide;
        memcpy(out + at, &word, 8);
    }
    for (; at < length; at++) {
        out[at] = in[at] ^ repeated[at % 8];
    }
}

PyDoc_STRVAR(parse_doc,
"parse(data, position, limit, messages, /)\n"
"--\n\n"
"Append the messages of the plain frames at `position`; return where the first other byte stands, and how\n"
"many bytes of payload stand before it.");

static PyObject *
parse(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 4 || !PyBytes_Check(arguments[0]) || !PyList_Check(arguments[3])) {
        PyErr_SetString(PyExc_TypeError, "parse() takes bytes, two integers and a list");
        return NULL;
    }
    char *buffer;
    Py_ssize_t end;
    if (PyBytes_AsStringAndSize(arguments[0], &buffer, &end) < 0) {
        return NULL;
    }
    const unsigned char *data = (const unsigned char *)buffer;
    Py_ssize_t position = PyLong_AsSsize_t(arguments[1]);
    if (position == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t limit = PyLong_AsSsize_t(arguments[2]);
    if (limit == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (position < 0 || position > end) {
        PyErr_SetString(PyExc_ValueError, "position is outside of the data");
        return NULL;
    }
    Py_ssize_t size = 0;
    while (end - position >= 2) {
        unsigned char head_byte = data[position];
        Py_ssize_t length = data[position + 1];
        Py_ssize_t start = position + 2;
        if (length == 126) {
            if (end - start < 2) {
                break;
            }
            length = (Py_ssize_t)data[start] << 8 | data[start + 1];
            start += 2;
            if (length < 126) {
                break; /* not the shortest form */
            }
        }
        else if (length > 126) {
            break; /* a length of eight bytes, or a masked frame */
        }
        if (length > limit || length > end - start) {
            break;
        }
        PyObject *message;
        if (head_byte == TEXT_FRAME) {
            message = PyUnicode_DecodeUTF8(buffer + start, length, NULL);
            if (message == NULL) {
                if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
                    return NULL;
                }
                PyErr_Clear();
                break;
            }
        }
        else if (head_byte == BINARY_FRAME) {
            message = PyBytes_FromStringAndSize(buffer + start, length);
            if (message == NULL) {
                return NULL;
            }
        }
        else {
            break;
        }
        int failed = PyList_Append(arguments[3], message);
        Py_DECREF(message);
        if (failed) {
            return NULL;
        }
        size += length;
        position = start + length;
    }
    return Py_BuildValue("(nn)", position, size);
}

/* The size of the frames of `items` on the wire; -1 with an exception if an item is not as it must be. None
 * of these functions runs code of an object, whatever it is. */
static Py_ssize_t
measure(PyObject *items, Py_ssize_t count)
{
    Py_ssize_t total = 0;
    for (Py_ssize_t number = 0; number < count; number++) {
        PyObject *item = PyTuple_GetItem(items, number);
        /* Each call fails for a value that is no tuple, no integer from 0 on, or no bytes. */
        if (PyTuple_Size(item) != 2 || PyLong_AsSize_t(PyTuple_GetItem(item, 0)) > 255) {
            goto wrong;
        }
        Py_ssize_t length = PyBytes_Size(PyTuple_GetItem(item, 1));
        if (length < 0) {
            goto wrong;
        }
        if (length > PY_SSIZE_T_MAX - LARGEST_HEADER - KEY_SIZE - total) {
            PyErr_NoMemory();
            return -1;
        }
        total += header_size(length) + KEY_SIZE + length;
    }
    return total;
wrong:
    PyErr_SetString(PyExc_TypeError, "each item must be a head byte, from 0 to 255, and a payload in bytes");
    return -1;
}

PyDoc_STRVAR(frames_doc,
"frames(items, keys, /)\n"
"--\n\n"
"The wire bytes of masked frames, given as head bytes and payloads; four bytes of `keys` for each.");

static PyObject *
frames(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyList_Check(arguments[0]) || !PyBytes_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "frames() takes a list and bytes");
        return NULL;
    }
    /* Without the interpreter lock another thread may change the list; no thread can change this copy. */
    PyObject *items = PyList_AsTuple(arguments[0]);
    if (items == NULL) {
        return NULL;
    }
    PyObject *wire = NULL;
    count = PyTuple_Size(items);
    if (PyBytes_Size(arguments[1]) / KEY_SIZE != count || PyBytes_Size(arguments[1]) % KEY_SIZE) {
        PyErr_SetString(PyExc_ValueError, "keys must be four bytes for each item");
        goto done;
    }
    Py_ssize_t total = measure(items, count);
    if (total < 0) {
        goto done;
    }
    wire = PyBytes_FromStringAndSize(NULL, total);
    if (wire == NULL) {
        goto done;
    }
    unsigned char *out = (unsigned char *)PyBytes_AsString(wire);
    const unsigned char *key = (const unsigned char *)PyBytes_AsString(arguments[1]);
    for (Py_ssize_t number = 0; number < count; number++, key += KEY_SIZE) {
        PyObject *item = PyTuple_GetItem(items, number);
        PyObject *payload = PyTuple_GetItem(item, 1);
        Py_ssize_t length = PyBytes_Size(payload);
        out += write_header(out, (unsigned char)PyLong_AsSize_t(PyTuple_GetItem(item, 0)), length);
        memcpy(out, key, KEY_SIZE);
        out += KEY_SIZE;
        mask_into(out, (const unsigned char *)PyBytes_AsString(payload), length, key, 0);
        out += length;
    }
done:
    Py_DECREF(items);
    return wire;
}

PyDoc_STRVAR(mask_doc,
"mask(payload, key, start, stop, head, /)\n"
"--\n\n"
"`head`, and behind it payload[start:stop] as it is in the masked payload.");

static PyObject *
mask(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 5 || !PyBytes_Check(arguments[0]) || !PyBytes_Check(arguments[1]) ||
        !PyBytes_Check(arguments[4])) {
        PyErr_SetString(PyExc_TypeError, "mask() takes bytes, bytes, two integers and bytes");
        return NULL;
    }
    Py_ssize_t start = PyLong_AsSsize_t(arguments[2]);
    if (start == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t stop = PyLong_AsSsize_t(arguments[3]);
    if (stop == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t head_size = PyBytes_Size(arguments[4]);
    if (start < 0 || start > stop || stop > PyBytes_Size(arguments[0]) ||
        PyBytes_Size(arguments[1]) != KEY_SIZE) {
        PyErr_SetString(PyExc_ValueError, "start and stop must lie in the payload, and a key has four bytes");
        return NULL;
    }
    if (head_size > PY_SSIZE_T_MAX - (stop - start)) {
        return PyErr_NoMemory();
    }
    PyObject *wire = PyBytes_FromStringAndSize(NULL, head_size + (stop - start));
    if (wire == NULL) {
        return NULL;
    }
    unsigned char *out = (unsigned char *)PyBytes_AsString(wire);
    memcpy(out, PyBytes_AsString(arguments[4]), (size_t)head_size);
    mask_into(out + head_size, (const unsigned char *)PyBytes_AsString(arguments[0]) + start, stop - start,
              (const unsigned char *)PyBytes_AsString(arguments[1]), (int)(start % KEY_SIZE));
    return wire;
}

static PyMethodDef methods[] = {
    {"parse", (PyCFunction)(void (*)(void))parse, METH_FASTCALL, parse_doc},
    {"frames", (PyCFunction)(void (*)(void))frames, METH_FASTCALL, frames_doc},
    {"mask", (PyCFunction)(void (*)(void))mask, METH_FASTCALL, mask_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
/* The limited API of CPython 3.10 has neither of these, but a free-threaded build does not use that API. */
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_speedups",
    .m_doc = "The functions of syncws._protocol.codec, in C.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    return PyModuleDef_Init(&definition);
}
