"""npcbnet.data.plainpickle: what pickle would read of plain data is read alike, and nothing else is read at all."""
import os
import pickle
import random
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from npcbnet.data import plainpickle
from npcbnet.errors import DataError

pytestmark = pytest.mark.independent

ARRAY = np.random.default_rng(0).integers(0, 256, (5, 3), np.uint8)


def refused(data, match="f "):
    with pytest.raises(DataError, match=match) as caught:
        plainpickle.loads(data, "f")
    assert len(str(caught.value).splitlines()) == 1 and str(caught.value).startswith("f ")


class Python2:
    """Writes dicts, lists, str (as bytes), ints and uint8 arrays as Python 2's cPickle does with protocol 2."""

    def __init__(self, value):
        self.out, self.puts = bytearray(b"\x80\x02"), 0
        self.save(value)
        self.out += b"."

    def put(self):
        self.puts += 1
        self.out += b"q" + bytes([self.puts]) if self.puts < 256 else b"r" + struct.pack("<I", self.puts)

    def save(self, value):
        if isinstance(value, dict):
            self.out += b"}"
            self.put()
            self.out += b"("
            for key, item in value.items():
                self.save(key)
                self.save(item)
            self.out += b"u"
        elif isinstance(value, list):
            self.out += b"]"
            self.put()
            for start in range(0, len(value), 1000):
                self.out += b"("
                for item in value[start:start + 1000]:
                    self.save(item)
                self.out += b"e"
        elif isinstance(value, bytes):
            self.out += b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
            self.out += value
            self.put()
        elif isinstance(value, int):
            forms = ((b"K", "<B", 0, 1 << 8), (b"M", "<H", 0, 1 << 16), (b"J", "<i", -1 << 31, 1 << 31))
            code, form = next((code, form) for code, form, low, high in forms if low <= value < high)
            self.out += code + struct.pack(form, value)
        else:
            self.array(value)

    def array(self, value):
        self.out += b"cnumpy.core.multiarray\n_reconstruct\n"
        self.put()
        self.out += b"cnumpy\nndarray\n"
        self.put()
        self.out += b"K\0\x85"
        self.put()
        self.save(b"b")
        self.out += b"\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"(K\x01"
        for side in value.shape:
            self.save(side)
        self.out += b"\x86"
        self.put()
        self.out += b"cnumpy\ndtype\n"
        self.put()
        self.save(b"u1")
        self.out += b"K\0K\x01\x87"
        self.put()
        self.out += b"R"
        self.put()
        self.out += b"(K\x03"
        self.save(b"|")
        self.out += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t"
        self.put()
        self.out += b"b\x89"
        self.save(value.tobytes())
        self.out += b"t"
        self.put()
        self.out += b"b"


def test_what_python_2_wrote():
    value = {b"batch_label": b"training batch 1 of 5", b"labels": [6, 9, 300, 70_000, -1] * 500, b"data": ARRAY,
             b"filenames": [b"%d.png" % i for i in range(2500)], b"long": b"x" * 1000}
    data = bytes(Python2(value).out)
    known = data.replace(b"numpy.core", b"numpy._core") if np.__version__ >= "2" else data  # else NumPy 2 warns
    loaded = pickle.loads(known, encoding="bytes")
    found = plainpickle.loads(data, "f")
    for whole in (loaded, found):
        np.testing.assert_array_equal(whole.pop(b"data"), ARRAY)
    value.pop(b"data")
    assert found == loaded == value


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=9)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-2**31, 2**31 - 1) | TEXT | st.binary(min_size=1, max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=4)
    | st.lists(inner, max_size=5).map(tuple), max_leaves=30)


@settings(max_examples=150, deadline=None)
@given(PLAIN, st.integers(2, 5))
def test_plain_values_are_read_as_pickle_reads_them(value, protocol):
    assert plainpickle.loads(pickle.dumps(value, protocol), "f") == value


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("array", [ARRAY, ARRAY[:, 1:], ARRAY[0], ARRAY.reshape(1, 5, 3), ARRAY[:0]])
def test_arrays(array, protocol):
    if protocol == 2 and not array.size:  # then Python 3 writes no bytes as a call of bytes(), which nobody needs
        refused(pickle.dumps({"a": array}, protocol), "names __builtin__.bytes")
        return
    found = plainpickle.loads(pickle.dumps({"a": array, "b": [array.copy()]}, protocol), "f")
    for each in (found["a"], found["b"][0]):
        np.testing.assert_array_equal(each, array)
        assert each.dtype == np.uint8


@pytest.mark.parametrize("value", [
    ARRAY.astype(np.int64), ARRAY.astype(np.float32), ARRAY > 9, np.array(["a"]), np.array([{}, 2], object),
    ARRAY.astype([("a", "u1")]), np.float64(1), np.uint8(3), 1.5, 2**40, {1, 2}, frozenset([1]), bytearray, print,
    os.system, np.array, complex(1, 2), range(3), {(1, 2): 3}, {3: 4}, slice(1), Ellipsis, object(), Python2(1)])
def test_what_is_not_plain(value):
    for protocol in range(2, 6):
        refused(pickle.dumps([value], protocol))


class Hostile:
    """Unpickled, it calls `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(2, 6))
def test_nothing_is_called_or_imported(tmp_path, protocol):
    folder = tmp_path / "made"
    for call in (Hostile(os.mkdir, str(folder)), Hostile(os.system, f"mkdir {folder}"), Hostile(eval, "1"),
                 Hostile(np.load, str(folder)), Hostile(np.frombuffer, b"123", np.uint8), Hostile(bytes, 9)):
        refused(pickle.dumps({"data": call}, protocol), "names .*, a function or class")
    assert not folder.exists()
    sys.modules.pop("this", None)
    refused(b"\x80\x02cthis\ns\n)R.", "names this.s")
    assert "this" not in sys.modules


NDARRAY, RECONSTRUCT = b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n"
DTYPE, FROMBUFFER, ENCODE = b"cnumpy\ndtype\n", b"cnumpy._core.numeric\n_frombuffer\n", b"c_codecs\nencode\n"
UINT8 = DTYPE + b"U\x02u1\x85R"
STATE = b"(K\x01K\x02\x85" + UINT8 + b"\x89U\x02abtb"  # of a uint8 array of shape (2,)


def test_the_pieces_of_an_array_read_well_together():
    for data in (RECONSTRUCT + NDARRAY + b"K\0\x85U\x01b\x87R" + STATE,
                 FROMBUFFER + b"(C\x02ab" + UINT8 + b"K\x02\x85U\x01CtR"):
        assert plainpickle.loads(data + b".", "f").tolist() == [97, 98]


EMPTY = RECONSTRUCT + NDARRAY + b"\x85R"


@pytest.mark.parametrize("data, match", [
    (b"", "truncated"), (b".", "one value"), (b"N", "truncated"), (b"NN.", "one value"), (b"(N.", "one value"),
    (b"N.N", "one value"), (b"(.", "one value"), (b"t.", "no mark"), (b"e.", "no mark"), (b"u.", "no mark"),
    (b"\x85.", "empty stack"), (b"a.", "empty stack"), (b"q\0.", "empty stack"), (b"R.", "empty stack"),
    (b"b.", "empty stack"), (b"\x93.", "empty stack"), (b"Na.", "empty stack"), (b"NNa.", "no list"),
    (b"}(NNe.", "no list"), (b"](NNu.", "no dict"), (b"}(Nu.", "no dict"), (b"}NNs.", "no text"),
    (b"})Ns.", "no text"), (b"}]Ns.", "no text"), (b"h\0.", "value 0"), (b"j\xff\xff\xff\xff.", "value 4294967295"),
    (b"\x80\x00N.", "protocol 0"), (b"\x80\x09N.", "protocol 9"), (b"I1\n.", "0x49"), (b"S'a'\n.", "0x53"),
    (b"Pid\n.", "0x50"), (b"NQ.", "0x51"), (b"(cos\nsystem\no.", "names os.system"),
    (b"(U\x01aios\nsystem\n.", "0x69"), (b"\x82\x01.", "0x82"), (b"cos\nsystem\nU\x02id\x85R.", "names os.system"),
    (b"cos\n", "names a function"), (b"c" + b"a" * 99 + b"\n\n.", "names"), (b"c\n\n.", "names ."),
    (b"NN\x93.", "names NoneType.NoneType"), (b"X\x05\0\0\0numpyX\4\0\0\0load\x93.", "names numpy.load"),
    (b"cnumpy.core.multiarray\nscalar\n.", "names"), (NDARRAY + b")\x81.", "0x81"),
    (NDARRAY + b"K\x02\x85R.", "calls"), (b"NN\x85R.", "calls"), (NDARRAY + b")R.", "without arguments"),
    (NDARRAY + b"NR.", "without arguments"), (DTYPE + b"U\x02O8\x85R.", "calls"), (DTYPE + b"]\x85R.", "calls"),
    (DTYPE + NDARRAY + b"\x85R.", "calls"), (RECONSTRUCT + DTYPE + b"\x85R.", "calls"), (UINT8 + b"Nb.", "state"),
    (UINT8 + b"(NNNN]tb.", "state"), (EMPTY + b"(K\x01K\x02\x85" + UINT8 + b"\x88U\x02abtb.", "Fortran"),
    (EMPTY + b"(NNNNNtb.", "Fortran"),
    (EMPTY + b"(K\x01K\x03\x85" + UINT8 + b"\x89U\x02abtb.", "array of 3 in 2 bytes"),
    (EMPTY + b"(K\x01J\xff\xff\xff\xff\x85" + UINT8 + b"\x89U\x02abtb.", "impossible shape"),
    (EMPTY + b"(K\x01\x88\x85" + UINT8 + b"\x89U\x01atb.", "impossible shape"),
    (EMPTY + b"(K\x01K\x02" + UINT8 + b"\x89U\x02abtb.", "impossible shape"),
    (EMPTY + b"(K\x01(K\0" + 3 * b"J\xff\xff\xff\x7f" + b"t" + UINT8 + b"\x89U\0tb.", "impossible shape"),
    (EMPTY + b"(K\x01(K\x01K\x01K\x01K\x01K\x02t" + UINT8 + b"\x89U\x02abtb.", "impossible shape"),
    (EMPTY + b"(K\x01K\x02\x85N\x89U\x02abtb.", "not of uint8"),
    (EMPTY + b"(K\x01K\x02\x85" + UINT8 + b"\x89]tb.", "not of"), (EMPTY + STATE + STATE + b".", "state"),
    (FROMBUFFER + b"(C\x02ab" + UINT8 + b"K\x02\x85U\x01FtR.", "calls"),
    (FROMBUFFER + b"(]" + UINT8 + b"K\x02\x85U\x01CtR.", "not of uint8"), (ENCODE + b"NU\x06latin1\x86R.", "calls"),
    (ENCODE + b"X\1\0\0\0aU\x03rot\x86R.", "calls"),
    (ENCODE + b"X\3\0\0\0\xe2\x82\xacU\x06latin1\x86R.", "that are none"), (b"X\1\0\0\0\xff.", "damaged text"),
    (b"U\x05ab", "5 bytes should follow"), (b"T\xff\xff\xff\xff.", "-1 bytes"),
    (b"T\xff\xff\xff\x7f.", "2,147,483,647 bytes"), (b"B\xff\xff\xff\xff.", "truncated"), (b"J\0", "4 bytes should"),
    (b"\x8e" + b"\xff" * 8 + b".", "truncated"), (b"\x96" + b"\xff" * 8 + b".", "truncated"),
    (b"\x95\0", "8 bytes should")])
def test_refused(data, match):
    refused(data, match)


def test_an_array_cannot_be_used_before_it_is_filled():
    found = plainpickle.loads(EMPTY + b"q\0" + STATE + b"h\0\x86.", "f")
    assert found[0].tolist() == [97, 98] and not isinstance(found[1], np.ndarray)


def test_floods_are_refused_and_let_go_of(monkeypatch):
    refused(bytes(plainpickle.MAX_BYTES + 1), "at most 67,108,864")
    monkeypatch.setattr(plainpickle, "MAX_TEXT", 1 << 20)
    text = b"X" + struct.pack("<I", 1 << 18) + b"a" * (1 << 18) + b"q\0X\6\0\0\0latin1q\x01"
    refused(text + (ENCODE + b"h\0h\x01\x86R") * 9, "too much text")
    deep = 100_000  # recursion over it would crash
    assert type(plainpickle.loads(b")" + b"\x85" * deep + b".", "f")) is tuple
    assert type(plainpickle.loads(b"]" * deep + b"a" * (deep - 1) + b".", "f")) is list
    refused(b"}" + b")" + b"\x85" * deep + b"Ns.", "no text")
    refused(DTYPE + b")" + b"\x85" * deep + b"R.", "calls")
    monkeypatch.setattr(plainpickle, "MAX_OPCODES", 1000)
    for code in (b"N", b"(", b"]", b"}", b")"):
        refused(code * 1001, "more than 1,000 opcodes")


def test_cut_short_or_changed_it_is_refused_or_read():
    data = bytes(Python2({b"labels": [1, 2, 300], b"data": ARRAY, b"names": [b"a", b"b" * 300]}).out)
    for whole in (data, *(pickle.dumps({"labels": [1, 2, 300], "data": ARRAY}, protocol) for protocol in range(2, 6))):
        for end in range(len(whole)):
            refused(whole[:end])
        generator = random.Random(3)
        for _ in range(500):
            mutated = bytearray(whole)
            for _ in range(generator.choice((1, 1, 3))):
                mutated[generator.randrange(len(mutated))] = generator.randrange(256)
            try:
                plainpickle.loads(bytes(mutated), "f")
            except DataError as error:
                assert len(str(error).splitlines()) == 1
