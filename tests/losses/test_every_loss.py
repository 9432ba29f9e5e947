"""What holds for every loss: dtypes, autocast, compilation, copies, and that the module is the function."""

import contextlib
import copy
import io
import pickle

import pytest
import torch
from torch import nn

import dalib

GENERATOR = torch.Generator().manual_seed(0)
MATRICES = (torch.randn(6, 4, generator=GENERATOR), torch.randn(5, 4, generator=GENERATOR) + 1)

# name: (module, function, inputs)
LOSSES = {
    "mmd": (dalib.MMDLoss(), dalib.mmd_loss, MATRICES),
    "mmd_fixed": (
        dalib.MMDLoss(bandwidths=[0.5, 2.0]),
        lambda s, t: dalib.mmd_loss(s, t, bandwidths=[0.5, 2.0]),
        MATRICES,
    ),
    "coral": (dalib.CORALLoss(), dalib.coral_loss, MATRICES),
    "entropy": (dalib.EntropyLoss(), dalib.entropy_loss, MATRICES[:1]),
    "mcc": (dalib.MCCLoss(temperature=2.0), lambda z: dalib.mcc_loss(z, temperature=2.0), MATRICES[:1]),
    "adversarial": (dalib.DomainAdversarialLoss(nn.Linear(4, 1)), None, MATRICES),
}


@pytest.fixture(params=LOSSES)
def case(request):
    return LOSSES[request.param]


def test_module_equals_function(case):
    module, function, inputs = case
    if function is not None:
        torch.testing.assert_close(module(*inputs), function(*inputs), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_half_precision_is_computed_in_float32(case, dtype):
    module, function, inputs = case
    rows = [x.to(dtype, copy=True).requires_grad_() for x in inputs]
    if function is None:
        function = copy.deepcopy(module).to(dtype)
    value = function(*rows)
    assert value.dtype == torch.promote_types(dtype, torch.float32)
    value.backward()
    assert all(x.grad.dtype == dtype and torch.isfinite(x.grad).all() for x in rows)
    if case[1] is not None:
        torch.testing.assert_close(value, function(*[x.detach().to(value.dtype) for x in rows]))


def test_autocast_changes_nothing(case):
    module, function, inputs = case
    if function is None:  # the discriminator itself may run in bfloat16
        pytest.skip("the network inside belongs to autocast")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = module(*inputs)
    torch.testing.assert_close(value, module(*inputs), rtol=0, atol=0)


def test_compiles_in_one_graph(case):
    module, _, inputs = case
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    rows = [x.clone().requires_grad_() for x in inputs]
    value = compiled(*rows)
    value.backward()
    torch.testing.assert_close(value, module(*inputs))
    expected = torch.autograd.grad(module(*(again := [x.clone().requires_grad_() for x in inputs])), again)
    torch.testing.assert_close(tuple(x.grad for x in rows), expected)


def test_copies_and_state_keep_the_value(case):
    module, _, inputs = case
    expected = module(*inputs)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(twin(*inputs), expected, rtol=0, atol=0)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        nn.init.zeros_(parameter)
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    torch.testing.assert_close(twin(*inputs), expected, rtol=0, atol=0)


def test_func_transforms(case):
    module, _, inputs = case
    stacks = [torch.stack([x, x + 1, 2 * x]) for x in inputs]
    expected = torch.stack([module(*rows) for rows in zip(*stacks, strict=True)])
    torch.testing.assert_close(torch.func.vmap(module)(*stacks), expected)
    gradient = torch.func.grad(module)(*inputs)
    first = inputs[0].clone().requires_grad_()
    torch.testing.assert_close(gradient, torch.autograd.grad(module(first, *inputs[1:]), first)[0])


def test_meta_tensors_give_a_meta_scalar(case):
    module, _, inputs = case
    rows = [x.to("meta").requires_grad_() for x in inputs]
    for checks in (contextlib.nullcontext(), dalib.value_checks()):
        with checks:
            value = copy.deepcopy(module).to("meta")(*rows)
        assert value.is_meta
        assert value.shape == ()
    value.backward()
    assert all(x.grad.shape == x.shape for x in rows)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (torch.Tensor.to_sparse, "must be a dense tensor, got layout torch.sparse_coo; convert it with "),
        (torch.Tensor.to_sparse_csr, "must be a dense tensor, got layout torch.sparse_csr; convert it with "),
        (
            lambda x: x.to(torch.float8_e4m3fn),
            "must have dtype float16, bfloat16, float32 or float64, got torch.float8_e4m3fn; convert it with ",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_other_layouts_and_dtypes_are_refused(case, kind, message):
    with pytest.raises(TypeError, match=message):
        (case[1] or case[0])(*map(kind, case[2]))


@pytest.mark.parametrize("name", ["mmd", "coral"])
def test_two_reverse_modes_give_the_second_derivative_that_forward_mode_refuses(name):
    loss = LOSSES[name][0]
    source, target = (x.double() for x in MATRICES)
    with pytest.raises(NotImplementedError, match="jvp"):
        torch.func.jvp(loss, (source, target), (source, target))
    second = torch.func.jacrev(torch.func.jacrev(loss))(source, target)
    torch.testing.assert_close(second, torch.autograd.functional.hessian(lambda x: loss(x, target), source))


@pytest.mark.cuda
@pytest.mark.parametrize("name", LOSSES)
def test_cuda_equals_cpu(name):
    module, _, inputs = LOSSES[name]
    on_device = copy.deepcopy(module).cuda()(*[x.cuda() for x in inputs])
    torch.testing.assert_close(on_device.cpu(), module(*inputs), rtol=1e-5, atol=1e-6)
    with torch.autocast("cuda", dtype=torch.float16):
        assert torch.isfinite(copy.deepcopy(module).cuda()(*[x.cuda().half() for x in inputs]))


@pytest.mark.cuda
def test_nan_propagates_on_cuda_unless_the_checks_are_switched_on():
    rows = torch.full((2, 2), float("nan"), device="cuda")
    assert torch.isnan(dalib.mmd_loss(rows, rows))
    with dalib.value_checks(), pytest.raises(ValueError, match="source must be finite"):
        dalib.mmd_loss(rows, rows)
