"""A .tflite file, written by hand from the format's schema: tensors, buffers and operators, each known by number."""
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.peer_runtimes.errors import PeerError

CODES, KINDS = schema.BuiltinOperator, schema.TensorType
VERSIONS = {CODES.RESIZE_BILINEAR: 3}  # half-pixel centres came with version 3; all else is as it was in version 1


class Writer:
    """Collects tensors and operators of one subgraph."""

    def __init__(self, images):
        self.images = images
        self.tensors, self.operators, self.codes = [], [], []
        self.buffers = [schema.BufferT()]  # the first is empty by agreement

    def tensor(self, shape, kind=KINDS.FLOAT32, buffer=0):
        """The number of a new tensor; without a buffer it has no content of its own."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape = f"t{len(self.tensors)}", [int(side) for side in shape]
        tensor.type, tensor.buffer = kind, buffer
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, array, dtype=np.float32):
        """The number of a new tensor that holds an array, float32 or int32."""
        array = np.asarray(array, dtype)
        buffer = schema.BufferT()
        buffer.data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.buffers.append(buffer)
        kind = {np.float32: KINDS.FLOAT32, np.int32: KINDS.INT32}[dtype]
        return self.tensor(array.shape, kind, len(self.buffers) - 1)

    def operator(self, code, inputs, shape, options=None, **fields):
        """The number of a new operator's output, of `shape`. options: its class in the schema, filled with fields."""
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs = self.codes.index(code), list(inputs)
        operator.outputs = [self.tensor(shape)]
        if options is not None:
            operator.builtinOptions = options()
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options.__name__.removesuffix("T"))
            unknown = set(fields) - set(vars(operator.builtinOptions))
            if unknown:
                raise AttributeError(f"{options.__name__} has no field {', '.join(sorted(unknown))}")
            vars(operator.builtinOptions).update(fields)
        self.operators.append(operator)
        return operator.outputs[0]

    def file(self, inputs, outputs):
        """The bytes of the file; inputs and outputs: numbers of tensors."""
        subgraph = schema.SubGraphT()
        subgraph.name, subgraph.tensors, subgraph.operators = "main", self.tensors, self.operators
        subgraph.inputs, subgraph.outputs = inputs, outputs
        model = schema.ModelT()
        model.version, model.buffers, model.subgraphs = 3, self.buffers, [subgraph]
        model.operatorCodes = [operator_code(code) for code in self.codes]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def operator_code(code):
    """The file's entry for a builtin operator; readers before 2020 knew only codes up to 127."""
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
    entry.version = VERSIONS.get(code, 1)
    return entry


def channels_last(shape):
    """(C, H, W) -> (H, W, C); (D,) as it is."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else tuple(shape)


class ModelWriter(Writer):
    """A Writer that knows the shapes of a Graph."""

    def __init__(self, graph, images):
        super().__init__(images)
        self.graph = graph

    def out(self, step):
        """The shape of a step's output in the file."""
        return (self.images, *channels_last(step.shape))

    def padded(self, step, x, fill):
        """x with room around it for the windows of a step, and which padding the operator itself has to do.

        TensorFlow's own padding, SAME, puts the odd pixel after the image. Where a layer does otherwise, x is padded
        with `fill` first (with None that is an error).
        """
        kernel, stride, pad = (step.fields[name] for name in ("kernel", "stride", "pad"))
        channels, *sides = self.graph.shape(step.inputs[0])
        after = [(out - 1) * stride + kernel - side - pad for side, out in zip(sides, step.shape[1:])]
        if pad == 0 and max(after) <= 0:
            return x, schema.Padding.VALID
        if all(out == -(-side // stride) and max(pad + end, 0) // 2 == pad
               for side, out, end in zip(sides, step.shape[1:], after)):
            return x, schema.Padding.SAME
        if fill is None:
            raise PeerError(f"LiteRT: no translation of this padding: {step.op} {step.fields}")
        rows, columns = ([pad, max(end, 0)] for end in after)
        amounts = self.constant([[0, 0], rows, columns, [0, 0]], np.int32)
        shape = (self.images, sides[0] + sum(rows), sides[1] + sum(columns), channels)
        if fill == 0:
            return self.operator(CODES.PAD, [x, amounts], shape, schema.PadOptionsT), schema.Padding.VALID
        x = self.operator(CODES.PADV2, [x, amounts, self.constant(fill)], shape, schema.PadV2OptionsT)
        return x, schema.Padding.VALID
