"""Rounds weights and packs them as GPTQ and AWQ folders have them, for scripts/make_reference.py.

Written from what the formats' own programs read and write:
    GPTQ    AutoGPTQ, nn_modules/qlinear/qlinear_cuda.py; the two ways to store zeros: GPTQModel,
            utils/model.py, convert_gptq_v1_to_v2_format_module and its inverse
    AWQ     AutoAWQ, modules/linear/gemm.py and utils/packing_utils.py
"""

import numpy
import torch

AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # of the eight values of a word, from its lowest bits on


def round_weight(weight, bits, groups, symmetric):
    """Rounds each group of a row by itself, to the nearest.

    weight  [out_features, in_features]
    groups  [in_features]: which group each input feature is in
    Returns values [in_features, out_features], zeros [num_groups, out_features], both uint32, and
    scales [num_groups, out_features] float16: as the files have them, turned."""
    weight = weight.double().numpy().T
    highest = 2**bits - 1
    num_groups = int(groups.max()) + 1
    values = numpy.zeros(weight.shape, numpy.uint32)
    zeros = numpy.zeros((num_groups, weight.shape[1]), numpy.uint32)
    scales = numpy.zeros((num_groups, weight.shape[1]), numpy.float16)
    for group in range(num_groups):
        members = weight[groups == group]
        if symmetric:
            step = 2 * abs(members).max(axis=0) / highest
            zero = numpy.full(step.shape, 2 ** (bits - 1))
        else:
            low, high = numpy.minimum(members.min(axis=0), 0), numpy.maximum(members.max(axis=0), 0)
            step = (high - low) / highest
            zero = numpy.rint(-low / step)
        scales[group] = step
        zeros[group] = zero
        rounded = numpy.rint(members / scales[group].astype(float)) + zero
        values[groups == group] = rounded.clip(0, highest)
    return values, zeros, scales


def dequantize(values, zeros, scales, groups):
    """scale * (value - zero), which float32 holds exactly. [out_features, in_features]"""
    difference = values.astype(numpy.float32) - zeros.astype(numpy.float32)[groups]
    return torch.from_numpy((scales.astype(numpy.float32)[groups] * difference).T.copy())


def pack_across(integers, bits, order=None):
    """Words of integers that follow each other in a row."""
    num_packed = 32 // bits
    words = numpy.zeros((integers.shape[0], integers.shape[1] // num_packed), numpy.uint32)
    for place, index in enumerate(order or range(num_packed)):
        words |= integers[:, index::num_packed] << numpy.uint32(bits * place)
    return words


def pack_gptq(values, zeros, scales, groups, bits, checkpoint_format):
    words_of_zeros = pack_across(zeros, bits)
    if checkpoint_format == "gptq":
        # One less in each place, whole words at a time: a zero of 0 borrows from the next.
        words_of_zeros -= numpy.uint32(sum(1 << place for place in range(0, 32, bits)))
    tensors = {"qweight": pack_across(values.T, bits).T, "qzeros": words_of_zeros,
               "scales": scales, "g_idx": groups.astype(numpy.int32)}
    return to_torch(tensors)


def pack_awq(values, zeros, scales):
    return to_torch({"qweight": pack_across(values, 4, AWQ_ORDER),
                     "qzeros": pack_across(zeros, 4, AWQ_ORDER), "scales": scales})


def to_torch(arrays):
    """Words as safetensors files have them: signed."""
    return {name: torch.from_numpy(numpy.ascontiguousarray(
        array.view(numpy.int32) if array.dtype == numpy.uint32 else array))
            for name, array in arrays.items()}
