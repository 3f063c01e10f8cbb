"""What a model file says about itself, as JSON: written from a model, and checked before a model is built from it.

{"format": 1 or 2, "npcbnet": version, "kind": key of nets.KINDS, "config": model.config(),
 "preprocessing": PREPROCESSING, "record": model.record,
 "arrays": {"part.layer.name": {"dtype": "<f4", "<f2" or "|i1", "shape": [...], "sha256": hex digits}}}

Format 2 is written where weights share few values: their description has "centroids", too, the number of values. The
file then holds codes, "|u1", under the array's name and the values under the name and CODEBOOK; sha256 is that of both.
"""
import hashlib
import json
import math

import numpy as np

from npcbnet import __version__, codebook
from npcbnet.errors import ModelFileError, NpcbnetError
from npcbnet.layers import LAYERS
from npcbnet.nets import KINDS
from npcbnet.npyfile import damaged, one_line

FORMAT = 2  # the newest
PREPROCESSING = "uint8 pixels / 255"
DTYPES = {"float32": "<f4", "float16": "<f2"}
INTEGER, SCALE = "|i1", "<f4"  # of a model's `integers`, and of its `scales`, which are never rounded
CODE, CODEBOOK, VALUE = "|u1", ".codebook", "<f4"  # of weights that share few values
SCALES = 1e-12, 1e12  # between these: the product of two is a normal float32

# Far above any network for a small computer. Checked when a model is saved, too: what can be saved can be loaded.
MAX_MANIFEST_BYTES = 1 << 20
MAX_PARAMETERS = 1 << 28
MAX_LAYERS = 256  # in each part of a net, those inside others too
MAX_NESTED = 3  # layers that lie in each other
MAX_KERNEL = MAX_STRIDE = 1024
MAX_MAP = 1 << 24  # values of one image after any layer: predict allocates them
MAX_NUMBER = 2 ** 31 - 1  # of a whole number in the configuration; the compiled loops count in 64 bits
MAX_FLOAT = 3e38  # float32's
MAX_TEXT = 200

FIELDS = {"format", "npcbnet", "kind", "config", "preprocessing", "record", "arrays"}
ENTRY = {"dtype", "shape", "sha256"}  # how an array is described
FORM = {"hidden": list, "activations": list, "halve_input": bool, "halve_output": bool, "output": str, "residual": bool,
        "total": (int, float)}  # a converter's configuration; a quantised one has QUANTISED, too
QUANTISED = "quantised"
CONV_FORM = {"channels": list, "strides": list, "batch_norm": bool}  # of a converter of convolutions


def build(model, arrays, coded):
    """The manifest as ASCII bytes. arrays: {name: (dtype, array)}; coded: {name: (codes, values)} of some of them.

    Raises ModelFileError for a record or configuration that is not JSON, or too long.
    """
    described = {name: {"dtype": dtype, "shape": list(array.shape), "sha256": digest(array.astype(dtype).tobytes())}
                 for name, (dtype, array) in arrays.items() if name not in coded}
    for name, (codes, values) in coded.items():
        described[name] = {"dtype": VALUE, "shape": list(arrays[name][1].shape), "centroids": len(values),
                           "sha256": digest(codes.tobytes() + values.astype(VALUE).tobytes())}
    manifest = {"format": 2 if coded else 1, "npcbnet": __version__, "kind": model.kind, "config": model.config(),
                "preprocessing": PREPROCESSING, "record": model.record, "arrays": described}
    for field in ("record", "config"):
        try:
            json.dumps(manifest[field], allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ModelFileError(f"its {field} is not JSON ({one_line(error, 100)}); keep to text, finite numbers, "
                                 "lists and dictionaries (a NumPy number by its .item())") from None
    text = json.dumps(manifest, allow_nan=False).encode("ascii")
    if len(text) > MAX_MANIFEST_BYTES:
        raise ModelFileError(f"its record and configuration take {len(text):,} bytes; shorten model.record "
                             f"(at most {MAX_MANIFEST_BYTES:,})")
    return text


def parse(data):
    """The manifest's bytes as a dictionary of the right format version and fields. Raises ModelFileError."""
    try:
        manifest = json.loads(data.decode("ascii"), parse_int=_int, parse_float=_float, parse_constant=_float)
    except RecursionError:
        raise damaged("its manifest is nested too deeply") from None
    except ValueError as error:
        raise damaged(f"its manifest is not JSON ({one_line(error, 80)})") from None
    version = manifest.get("format") if isinstance(manifest, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise ModelFileError(f"was written by a newer npcbnet (format {version}, this one reads {FORMAT}); "
                             "install a newer npcbnet")
    if type(version) is not int or version < 1 or set(manifest) != FIELDS:
        raise damaged(f"its manifest does not have the fields of format 1 or {FORMAT}")
    if manifest["preprocessing"] != PREPROCESSING or not isinstance(manifest["record"], dict):
        raise damaged(f"its manifest's preprocessing is not {PREPROCESSING!r}, or its record is not a dictionary")
    return manifest


def rebuild(manifest):
    """The model of a parsed manifest, its parameters not yet allocated, its `arrays` checked against them.

    Raises ModelFileError for whatever cannot work or passes a limit of this module.
    """
    kind, config = manifest["kind"], manifest["config"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise damaged(f"unknown kind of model {kind!r:.60}; this version knows {', '.join(KINDS)}")
    _check_config(config)
    try:
        model = KINDS[kind].from_config(config)
    except KeyError as error:
        raise damaged(f"its configuration has no {error}") from None
    except (NpcbnetError, TypeError, ValueError, OverflowError) as error:
        raise damaged(f"its configuration cannot work: {error}") from None
    # Whatever a constructor read generously (1 for true, a field that is none of its own) shows as a difference.
    if json.dumps(model.config(), sort_keys=True) != json.dumps(config, sort_keys=True):
        raise damaged(f"its configuration is not that of a {kind}: a field too many, or a value of another type")
    _check_sizes(model)
    _check_arrays(manifest["arrays"], model, manifest["format"])
    return model


def dtypes(model):
    """{parameter name: types it may be stored as, a tuple}."""
    special = dict.fromkeys(model.integers, (INTEGER,)) | dict.fromkeys(model.scales, (SCALE,))
    return {name: special.get(name, tuple(DTYPES.values())) for name in model.param_shapes()}


def digest(data):
    """SHA-256 of bytes, as hex digits."""
    return hashlib.sha256(data).hexdigest()


def _int(text):
    """A JSON integer; a million digits would keep Python busy for minutes."""
    if len(text) > 20:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _float(text):
    """A JSON number with a point or exponent; also called for NaN and Infinity, which JSON has not."""
    if not math.isfinite(float(text)):
        raise ValueError(f"{text[:20]} is not a finite number")
    return float(text)


def _check_config(config):
    """Types and bounds of a configuration's values, so that constructors meet nothing but plain small JSON."""
    if not isinstance(config, dict):
        raise damaged(f"its configuration is {type(config).__name__}, not a dictionary")
    _check_value(config, "config", 0)
    shape = config.get("input_shape")
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side > 0 for side in shape):
        raise damaged(f"input_shape must be [channels, rows, columns], not {shape!r:.60}")
    if math.prod(shape) > MAX_MAP:
        raise damaged(f"images of {math.prod(shape):,} values; at most {MAX_MAP:,} are supported")
    names = config.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise damaged(f"class_names must be a list of texts, none of them empty, not {names!r:.60}")
    for field, value in config.items():
        if field == "converter":
            _check_form(value)
        elif field not in ("input_shape", "class_names", "threshold", "thresholds"):
            _check_layers(value, field)


def _check_value(value, field, depth, nested=0):
    """Only short printable text, whole numbers, finite numbers, and lists and dictionaries of them, four deep.

    What a layer holds in a field for layers counts from the start again; nested: how many such layers lie around it.
    """
    if isinstance(value, str):
        good = len(value) <= MAX_TEXT and value.isprintable()
    elif isinstance(value, (int, float)):
        good = abs(value) <= (MAX_NUMBER if isinstance(value, int) else MAX_FLOAT)
    elif isinstance(value, (list, dict)) and depth < 4 and nested <= MAX_NESTED:
        good, inside = True, _nested_fields(value)
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            more = key in inside
            _check_value(inner, key if isinstance(key, str) else field, 1 if more else depth + 1, nested + more)
    else:
        good = False
    if not good:
        raise damaged(f"{field[:40]!r} in its configuration cannot be {value!r:.40} "
                      "(too large, too deep or not printable)")


def _nested_fields(value):
    """The fields of a layer's configuration that hold layers themselves; none if it is no layer's configuration."""
    name = value.get("layer") if isinstance(value, dict) else None
    return LAYERS[name].nested if isinstance(name, str) and name in LAYERS else ()


def _check_form(form):
    """A converter's configuration."""
    if isinstance(form, dict) and set(form) == set(CONV_FORM):
        _check_conv_form(form)
        return
    if not isinstance(form, dict) or set(form) - {QUANTISED} != set(FORM) or not form.get(QUANTISED, [0]):
        raise damaged(f"its converter must have the fields {', '.join(FORM)}")
    for field, kind in FORM.items():
        if not isinstance(form[field], kind) or (field == "total" and isinstance(form[field], bool)):
            raise damaged(f"its converter's {field} cannot be {form[field]!r:.40}")
    if not isinstance(form.get(QUANTISED, []), list):
        raise damaged(f"its converter's {QUANTISED} cannot be {form[QUANTISED]!r:.40}")
    if len(form["hidden"]) > MAX_LAYERS or not all(isinstance(name, str) for name in form["activations"]):
        raise damaged(f"its converter has more than {MAX_LAYERS} layers, or activations that are not names")


def _check_conv_form(form):
    """The configuration of a converter of convolutions."""
    for field, kind in CONV_FORM.items():
        if not isinstance(form[field], kind):
            raise damaged(f"its converter's {field} cannot be {form[field]!r:.40}")
    if len(form["channels"]) > MAX_LAYERS:
        raise damaged(f"its converter has more than {MAX_LAYERS} layers")


def _check_layers(layers, field):
    """One part of a net, or what lies in a layer: a list of {"layer": name, ...}. Returns how many layers it holds."""
    if not isinstance(layers, list) or not 1 <= len(layers) <= MAX_LAYERS:
        raise damaged(f"{field[:40]!r} in its configuration must be a list of 1 to {MAX_LAYERS} layers")
    count = len(layers)
    for layer in layers:
        if not isinstance(layer, dict) or not isinstance(layer.get("layer"), str):
            raise damaged(f"{field[:40]!r} in its configuration has an unknown layer: {layer!r:.60}")
        for field, most in (("kernel", MAX_KERNEL), ("stride", MAX_STRIDE)):
            number = layer.get(field, 1)
            if isinstance(number, int) and number > most:
                raise damaged(f"layer {layer['layer']!r:.40} has a {field} of {number}, more than {most}")
        count += sum(_check_layers(layer[inner], inner) for inner in _nested_fields(layer) if inner in layer)
    if count > MAX_LAYERS:
        raise damaged(f"{field[:40]!r} in its configuration holds more than {MAX_LAYERS} layers")
    return count


def _check_sizes(model):
    """The limits on parameters, and on what `predict` will allocate for one image."""
    count = sum(math.prod(shape) for shape in model.param_shapes().values())
    if count > MAX_PARAMETERS:
        raise damaged(f"a model of {count:.3g} parameters; at most {MAX_PARAMETERS:,} are supported")
    for part, shape in model.input_shapes().items():
        largest = getattr(model, part).peak(shape)
        if largest > MAX_MAP:
            raise damaged(f"a layer in {part!r} makes {largest:.3g} values of one image; "
                          f"at most {MAX_MAP:,} are supported")


def _check_arrays(arrays, model, version):
    """The manifest's table of arrays against the model's parameters."""
    shapes, allowed = model.param_shapes(), dtypes(model)
    if not isinstance(arrays, dict) or set(arrays) != set(shapes):
        strange = sorted(set(arrays) ^ set(shapes)) if isinstance(arrays, dict) else ["arrays"]
        raise damaged(f"its manifest and its configuration disagree about {strange[0]!r:.60}")
    for name, shape in shapes.items():
        entry = arrays[name]
        if not isinstance(entry, dict) or set(entry) - ({"centroids"} if version > 1 else set()) != ENTRY:
            raise damaged(f"its manifest does not describe array {name!r}")
        if entry["dtype"] not in allowed[name] or entry["shape"] != list(shape):
            raise damaged(f"array {name!r} is described as {entry['dtype']!r:.30} {entry['shape']!r:.40}, "
                          f"but the model needs {shape}")
        count = entry.get("centroids", 1)
        if type(count) is not int or not 1 <= count <= codebook.MOST \
                or "centroids" in entry and (entry["dtype"] != VALUE or len(allowed[name]) == 1):
            raise damaged(f"array {name!r} cannot have a codebook of {count!r:.20} values as {entry['dtype']!r:.20}")


def finite(name, array):
    """Raise ModelFileError, naming the array, where it holds NaN or infinity."""
    if not np.isfinite(array).all():
        raise ModelFileError(f"array {name!r} holds NaN or infinity, so it answers nothing; train it again "
                             "with a smaller learning rate")


def counted(name, levels):
    """Raise ModelFileError, naming the array, unless these levels of neurons are 0 or more."""
    if (levels < 0).any():
        raise ModelFileError(f"array {name!r} holds levels below 0; make the subgraph anew with "
                             "npcbnet.compress.subflow")


def usable(name, scales):
    """Raise ModelFileError, naming the array, unless these scales of quantised numbers are positive and sensible."""
    if not ((scales >= SCALES[0]) & (scales <= SCALES[1])).all():
        raise ModelFileError(f"array {name!r} holds scales that are not between {SCALES[0]:g} and {SCALES[1]:g}; "
                             "quantise the model anew")
