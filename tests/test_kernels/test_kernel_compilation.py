"""The kernels are compiled for GPUs, where there is none too: the interpreter takes more."""

import os
import subprocess
import sys

import kernel_device
import pytest

PROGRAM = """
import sys
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

TYPES = {
    torch.float32: '*fp32', torch.float64: '*fp64', torch.bfloat16: '*bf16', torch.float16: '*fp16',
    torch.int64: '*i64', torch.int32: '*i32', torch.int16: '*i16', torch.uint8: '*u8',
}


def compile_instead(self, *args, grid, warmup, num_warps, **kwargs):
    values = dict(zip(self.arg_names, args)) | kwargs
    constants, types = {}, {}
    for parameter in self.params:
        value = values[parameter.name]
        types[parameter.name] = 'i32' if isinstance(value, int) else 'fp32'
        if isinstance(value, torch.Tensor):
            types[parameter.name] = TYPES[value.dtype]
        elif parameter.is_constexpr or value is None:
            types[parameter.name] = 'constexpr'
            constants[(parameter.num,)] = value
    source = ASTSource(self, types, constexprs=constants)
    target = GPUTarget('cuda', int(sys.argv[1]), 32)
    compiled = triton.compile(source, target=target, options=dict(num_warps=num_warps))
    compiled_kernels.add((self.fn.__module__, self.fn.__name__))
    assert compiled.asm['cubin']


compiled_kernels = set()
JITFunction.run = compile_instead
from mmseg_imbalance.ops.kernels import class_counts, per_pixel, lovasz, max_pooling, score
from mmseg_imbalance.ops.kernels import upsampled
from mmseg_imbalance.ops.kernels.weighted_mean import weighted_mean

for dtype in (torch.float32, torch.bfloat16):
    logits = torch.zeros(1, 19, 8, 8, dtype=dtype)
    label = torch.zeros(1, 8, 8, dtype=torch.int64)
    pred = torch.zeros(1, 8, 8, dtype=torch.uint8)
    for shift in (None, torch.zeros(19)):
        loss, soft_max = score.score(logits, label, shift, 255, pred)
        score.gradient(logits, label, shift, 255, soft_max, loss)
        for align_corners in (False, True):
            small = logits[:, :, :4, :4], label, shift, 255, align_corners
            loss, log_sum = upsampled.score(*small, pred)
            upsampled.gradient(*small, log_sum, loss)
    counts, unknown = torch.zeros(2, 19, 64, dtype=torch.int32), torch.zeros((), dtype=torch.int32)
    firsts = [torch.zeros(1217, dtype=torch.int32)] * 2
    for divisions in range(3):
        buckets = 255, 64, 63.9, firsts[:divisions]
        lovasz.count(logits, label, *buckets, counts, unknown)
        lovasz.gradient(logits, label, *buckets, counts.float())
losses = torch.zeros(2, 64, requires_grad=True)
for p in (1, 1.05, 1.7, 4):
    max_pooling.weights(losses.detach(), losses > 0, p, 0.25)
class_counts.count(pred, label, 19, 255)
for dtype in (torch.float32, torch.float64):
    per_pixel.spread(torch.zeros(19, dtype=dtype), label)
weighted_mean(losses, losses.detach(), torch.ones(2), 1.0).backward()
print(len(compiled_kernels))
"""


@pytest.mark.skipif(kernel_device.ON_A_GPU, reason='the other tests compile them')
def test_kernels_compile():
    environment = {k: v for k, v in os.environ.items() if k != 'TRITON_INTERPRET'}
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, '80'], env=environment, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ['13']  # every kernel there is
