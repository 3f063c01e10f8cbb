"""Collect ONNX's own node cases of our operators into tests/data/onnx_nodes.npz. The tests need no onnx, this does.

    python -m venv /tmp/onnxenv && /tmp/onnxenv/bin/pip install onnx numpy
    /tmp/onnxenv/bin/python tests/make_onnx_nodes.py            # write the file
    /tmp/onnxenv/bin/python tests/make_onnx_nodes.py --check    # compare it with what the installed onnx says

The file holds arrays "case/in0", "case/out0", ... and under "cases" a JSON text:
{case: {"op": type, "inputs": names, "" for one that is left out, "attributes": {...}}}.
"""
import json
import sys
from pathlib import Path

import numpy as np

FILE = Path(__file__).parent / "data" / "onnx_nodes.npz"

NAMES = """
basic_conv_with_padding basic_conv_without_padding conv_with_strides_padding conv_with_strides_no_padding
conv_with_strides_and_asymmetric_padding conv_with_autopad_same
maxpool_2d_default maxpool_2d_strides maxpool_2d_pads maxpool_2d_same_upper maxpool_2d_same_lower maxpool_2d_ceil
maxpool_2d_precomputed_pads maxpool_2d_precomputed_strides maxpool_2d_precomputed_same_upper
maxpool_with_argmax_2d_precomputed_pads
averagepool_2d_default averagepool_2d_strides averagepool_2d_pads averagepool_2d_pads_count_include_pad
averagepool_2d_same_upper averagepool_2d_precomputed_pads averagepool_2d_precomputed_strides
globalaveragepool globalaveragepool_precomputed
gemm_default_zero_bias gemm_default_no_bias gemm_default_vector_bias gemm_default_matrix_bias gemm_transposeA
gemm_transposeB gemm_alpha gemm_beta gemm_all_attributes matmul_2d
softmax_example softmax_large_number softmax_axis_1 softmax_negative_axis softmax_default_axis
logsoftmax_example_1 logsoftmax_large_number logsoftmax_axis_1
relu sigmoid sigmoid_example tanh tanh_example flatten_default_axis flatten_axis1 reshape_reordered_all_dims
add add_bcast clip clip_example
sce_mean sce_sum sce_none
adam adam_multiple momentum nesterov_momentum
batchnorm_example batchnorm_epsilon batchnorm_example_training_mode batchnorm_epsilon_training_mode
dropout_default training_dropout_zero_ratio sce_mean_log_prob sce_mean_weight nllloss_NC
quantizelinear quantizelinear_axis dequantizelinear dequantizelinear_axis
dynamicquantizelinear dynamicquantizelinear_max_adjusted dynamicquantizelinear_min_adjusted
qlinearmatmul_2D_uint8_float32 qlinearmatmul_2D_int8_float32 qlinearconv
matmulinteger convinteger_without_padding convinteger_with_padding
convtranspose convtranspose_pad convtranspose_pads convtranspose_output_shape convtranspose_kernel_shape
convtranspose_autopad_same convtranspose_dilations convtranspose_group_2
globalmaxpool globalmaxpool_precomputed leakyrelu leakyrelu_default lrn lrn_default
averagepool_2d_same_lower averagepool_2d_ceil maxpool_2d_uint8 maxpool_with_argmax_2d_precomputed_strides
clip_inbounds clip_outbounds clip_splitbounds clip_default_min clip_default_max
argmax_no_keepdims_example argmax_no_keepdims_random reshape_negative_dim reduce_sum_do_not_keepdims_example
""".split()


def plain(value):
    """An attribute as JSON: text instead of bytes, lists instead of protobuf's containers."""
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, (int, float, str)) else list(value)


def collect():
    """{array name: array} of the whole file."""
    from onnx.backend.test.case.node import collect_testcases  # needs onnx, which the tests must not
    from onnx.helper import get_attribute_value

    known = {case.name.removeprefix("test_"): case for case in collect_testcases(None)}
    arrays, cases = {}, {}
    for name in NAMES:
        case = known[name]
        (node,), ((inputs, outputs),) = case.model.graph.node, case.data_sets
        cases[name] = {"op": node.op_type, "inputs": list(node.input),
                       "attributes": {field.name: plain(get_attribute_value(field)) for field in node.attribute}}
        for kind, values in ("in", inputs), ("out", outputs):
            for i, value in enumerate(values):
                value = np.asarray(value)
                arrays[f"{name}/{kind}{i}"] = value.astype(np.float32) if value.dtype == np.float64 else value
    arrays["cases"] = np.array(json.dumps(cases))
    return arrays


def check(fresh):
    """Raise unless the stored file says the same as the installed onnx."""
    with np.load(FILE, allow_pickle=False) as stored:
        assert sorted(stored.files) == sorted(fresh)
        assert json.loads(str(stored["cases"])) == json.loads(str(fresh["cases"]))
        for name in stored.files:
            if name != "cases":
                np.testing.assert_allclose(stored[name], fresh[name], rtol=1e-6, atol=1e-7, err_msg=name)


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check(collect())
        print(f"{FILE.name} agrees with the installed onnx")
    else:
        np.savez_compressed(FILE, **collect())
        print(f"{FILE.name}: {len(NAMES)} cases, {FILE.stat().st_size / 1000:.0f} kB")
