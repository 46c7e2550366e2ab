"""Batch statistics per segment equal those of separate passes.

In value, gradient and running statistics.
"""

import copy
import io

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from hetlib.balanced.segmented import pool_segments, segment_batchnorm
from hetlib.balanced.segments import segments_of
from hetlib.models.registry import build_model
from hetlib.planning.memory import saved_bytes

KINDS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def separate_passes(layer, x, counts):
    """Normalise each part by itself.

    The running statistics follow the first part alone, as under DDP.
    """
    parts = torch.split(x, counts)
    others = [copy.deepcopy(layer) for _ in parts]
    outputs = []
    for r, part in enumerate(parts):
        keeper = layer if r == 0 else others[r]
        keeper.weight = layer.weight
        keeper.bias = layer.bias
        if len(part):
            outputs.append(keeper(part))
    return torch.cat(outputs)


@pytest.mark.parametrize("counts", [[5, 3, 1], [1, 8], [0, 4, 5], [9], [3, 0, 6]])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_segments_equal_separate_passes(counts, momentum, dims):
    if dims == 1 and 1 in counts:
        pytest.skip("one value per channel has no statistics")
    torch.manual_seed(0)
    reference = KINDS[dims](4, momentum=momentum, dtype=torch.float64)
    nn.init.normal_(reference.weight)
    nn.init.normal_(reference.bias)
    layer = copy.deepcopy(reference)
    segments: list[int] = []
    segment_batchnorm(layer, segments)
    shape = (9, 4, *[3] * (0 if dims == 1 else dims))
    near = torch.testing.assert_close
    for _ in range(3):
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        y = x.detach().clone().requires_grad_()
        segments[:] = counts
        weights = torch.randn_like(x)
        ours = layer(x)
        expected = separate_passes(reference, y, counts)
        near(ours, expected, rtol=1e-11, atol=1e-11)
        (ours * weights).sum().backward()
        (expected * weights).sum().backward()
        near(x.grad, y.grad, rtol=1e-10, atol=1e-11)
        near(layer.weight.grad, reference.weight.grad, rtol=1e-10, atol=1e-11)
        near(layer.bias.grad, reference.bias.grad, rtol=1e-10, atol=1e-11)
        near(layer.running_mean, reference.running_mean)
        near(layer.running_var, reference.running_var)
    layer.eval()
    reference.eval()
    near(layer(x), reference(x))
    assert layer.state_dict().keys() == reference.state_dict().keys()


def test_one_value_per_channel_is_refused():
    layer, segments = nn.BatchNorm2d(2), []
    segment_batchnorm(layer, segments)
    segments[:] = [3, 1]
    with pytest.raises(ValueError, match=r"\[3, 1\]"):
        layer(torch.randn(4, 2, 1, 1))


def numbers_of(forward, layer, x, factors):
    """Return all that a pass of a layer on a copy of the input gives, in float64."""
    images = x.clone().requires_grad_()
    y = forward(layer, images)
    (y * factors).sum().backward()
    found = (
        y.detach(),
        images.grad,
        layer.weight.grad,
        layer.bias.grad,
        layer.running_mean,
        layer.running_var,
    )
    return [tensor.double() for tensor in found]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mean", [1, 10, 1000])  # in standard deviations
def test_the_error_grows_with_the_mean_as_that_of_rounding_the_input_does(mean, memory_format):
    torch.manual_seed(0)
    counts = [40, 5, 19]
    x = mean + torch.randn(sum(counts), 8, 8, 8)
    x = x.contiguous(memory_format=memory_format)
    factors = torch.randn_like(x)
    layer = nn.BatchNorm2d(8)
    nn.init.normal_(layer.weight)

    def apart(layer, images):
        return separate_passes(layer, images, counts)

    exact = numbers_of(apart, copy.deepcopy(layer).double(), x.double(), factors)
    torchs = numbers_of(apart, copy.deepcopy(layer), x, factors)
    segmented = segment_batchnorm(layer, counts)
    ours = numbers_of(nn.Module.__call__, segmented, x, factors)
    for mine, plain, right in zip(ours, torchs, exact, strict=True):
        # float32 rounds such values by 3e-8 of the mean, and torch itself is off by up to 4e-7 of
        # it, channels last.
        by_rounding = 4e-7 * mean * right.norm()
        assert (mine - right).norm() <= max((plain - right).norm(), by_rounding)


def test_segments_keep_little_more_for_the_backward_pass_than_one_batch():
    images = torch.randn(128, 13, 16, 16)
    images = images.contiguous(memory_format=torch.channels_last)
    plain = build_model("smallcnn", bands=13, classes=8, size=16, norm="batch")
    plain = plain.to(memory_format=torch.channels_last)
    segmented = segment_batchnorm(copy.deepcopy(plain), [2] * 64)
    of_one_batch = saved_bytes(lambda: plain(images))
    assert saved_bytes(lambda: segmented(images)) < 1.1 * of_one_batch


def test_a_second_derivative_is_refused():
    x = torch.randn(4, 2, 3, 3, requires_grad=True)
    y = segment_batchnorm(nn.BatchNorm2d(2), [3, 1])(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"BatchNorm over replicas .* take another norm"):
        gradient.sum().backward()


def test_a_second_derivative_is_refused_behind_a_gradient_that_has_none():
    x = torch.randn(4, 2, 3, 3, requires_grad=True)
    y = segment_batchnorm(nn.BatchNorm2d(2), [3, 1])(x)
    slopes = torch.arange(72.0).view(y.shape)
    (gradient,) = torch.autograd.grad((y * slopes).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"BatchNorm over replicas .* take another norm"):
        gradient.square().sum().backward()


def test_a_gradient_that_could_be_derived_is_the_same():
    layer = segment_batchnorm(nn.BatchNorm2d(2), [3, 1])
    x = torch.randn(4, 2, 3, 3, requires_grad=True)
    wanted = torch.autograd.grad(layer(x).square().sum(), [x, layer.weight, layer.bias])
    loss = layer(x).square().sum()
    found = torch.autograd.grad(loss, [x, layer.weight, layer.bias], create_graph=True)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_layers_further_buffers_are_left_alone():
    layer = nn.BatchNorm2d(2)
    x = torch.randn(4, 2, 3, 3)
    layer.register_buffer("noted", torch.arange(5))
    segment_batchnorm(layer, [3, 1])(x)
    assert layer.noted.tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(layer.running_mean, 0.1 * x[:3].mean((0, 2, 3)))


def saved_and_read(layer):
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, saved_and_read])
def test_a_copy_goes_on_by_itself(copied):
    x = torch.randn(4, 2, 3, 3)
    layer = segment_batchnorm(nn.BatchNorm2d(2), [3, 1])
    layer(x)
    other = copied(layer)
    before = layer.running_mean.clone()
    assert torch.equal(other(x), layer(x))
    assert not torch.equal(layer.running_mean, before)
    assert torch.equal(other.running_mean, layer.running_mean)
    before = layer.running_mean.clone()
    pool_segments(other, [3, 1])
    assert torch.equal(layer.running_mean, before)
    assert not torch.equal(other.running_mean, before)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call")  # to a cached function
def test_a_compiled_layer_computes_the_same():
    x = torch.randn(4, 2, 3, 3)
    layer = segment_batchnorm(nn.BatchNorm2d(2), [3, 1])
    other = segment_batchnorm(nn.BatchNorm2d(2), [3, 1])
    compiled = torch.compile(other, backend="eager")
    for _ in range(2):
        y = layer(x)
        z = compiled(x)
        y.square().sum().backward()
        z.square().sum().backward()
        assert torch.equal(y, z)
    assert torch.equal(layer.weight.grad, other.weight.grad)
    assert torch.equal(layer.running_var, other.running_var)


def test_what_depends_on_the_segments_alone_is_made_once():
    about = (torch.device("cpu"), torch.float32)
    first = segments_of((3, 1), torch.Size([4, 2, 3, 3]), *about)
    assert segments_of((3, 1), torch.Size([4, 2, 3, 3]), *about) is first
    assert segments_of((2, 2), torch.Size([4, 2, 3, 3]), *about) is not first
    assert first.values.number.tolist() == [[27.0], [9.0]]


def test_segments_on_a_gpu_stay_there():
    """A mode of torch knows the device of each tensor, and refuses to mix them, without a GPU."""
    segments: list[int] = []
    segments_of.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda:0"):
        network = segment_batchnorm(nn.Sequential(nn.BatchNorm2d(4)), segments)
        segments[:] = [3, 0, 2]
        found = network(torch.randn(5, 4, 8, 8))
        pool_segments(network, segments)
    segments_of.cache_clear()
    assert found.device == torch.device("cuda:0")
