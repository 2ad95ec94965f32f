"""The shared encoder against the xlstm package and its own promises."""

import pytest
import torch
from xlstm import (
    FeedForwardConfig,
    mLSTMBlockConfig,
    mLSTMLayerConfig,
    sLSTMBlockConfig,
    sLSTMLayerConfig,
    xLSTMBlockStack,
    xLSTMBlockStackConfig,
)

from socialgraph.nn import XLSTMEncoder


def make_encoder(**options):
    return XLSTMEncoder(3, **{"hidden_channels": 16, "num_blocks": 2, "slstm_at": (1,), **options})


def perturb(module):
    """Move every weight off its initial value; the recurrent weights start at zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("slstm_at", [(), (0,), (1,), (0, 1)])
@pytest.mark.parametrize("steps", [1, 5, 12])
def test_equals_the_package_with_its_own_context_length(slstm_at, steps):
    encoder = perturb(make_encoder(slstm_at=slstm_at).double())
    reference = xLSTMBlockStack(
        xLSTMBlockStackConfig(
            mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=4)),
            slstm_block=sLSTMBlockConfig(
                slstm=sLSTMLayerConfig(backend="vanilla", num_heads=4),
                feedforward=FeedForwardConfig(proj_factor=1.3, act_fn="gelu"),
            ),
            context_length=12,
            num_blocks=2,
            embedding_dim=16,
            slstm_at=list(slstm_at),
        )
    ).double()
    reference.load_state_dict(encoder.stack.state_dict())
    x = torch.randn(5, steps, 3, dtype=torch.double)
    state, expected = encoder(x), reference(encoder.project(x))[:, -1]
    torch.testing.assert_close(state, expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(state)
    mine = torch.autograd.grad(  # one step never uses the recurrent weights
        (state * direction).sum(),
        list(encoder.stack.parameters()),
        allow_unused=True,
        materialize_grads=True,
    )
    theirs = torch.autograd.grad((expected * direction).sum(), list(reference.parameters()))
    for gradient, truth in zip(mine, theirs, strict=True):
        torch.testing.assert_close(gradient, truth, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("slstm_at", [(), (0, 1)])
def test_reads_sequences_of_any_length_and_its_states_see_no_future(slstm_at):
    encoder = perturb(make_encoder(slstm_at=slstm_at).double())
    x = torch.randn(2, 100, 3, dtype=torch.double)
    hidden = encoder.project(x)
    for block in encoder.stack.blocks:
        hidden = block(hidden)
    states = encoder.stack.post_blocks_norm(hidden)
    for steps in (1, 3, 40, 100):
        torch.testing.assert_close(encoder(x[:, :steps]), states[:, steps - 1])


def test_rows_do_not_see_each_other():
    encoder = perturb(make_encoder())
    x = torch.randn(6, 12, 3)
    together = encoder(x)
    torch.testing.assert_close(together[2:3], encoder(x[2:3]), rtol=1e-5, atol=1e-6)
    other = torch.cat([torch.randn(2, 12, 3) * 100, x[2:3], torch.full((3, 12, 3), -50.0)])
    torch.testing.assert_close(encoder(other)[2], together[2], rtol=1e-5, atol=1e-6)


def test_gradient_checkpointing_changes_no_number():
    plain, saving = (perturb(make_encoder(gradient_checkpointing=g)) for g in (False, True))
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(4, 12, 3)
    outputs = [encoder(x) for encoder in (plain, saving)]
    torch.testing.assert_close(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for ours, theirs in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_every_weight_is_trained():
    encoder = perturb(make_encoder())
    encoder(torch.randn(4, 12, 3)).square().sum().backward()
    assert not [n for n, p in encoder.named_parameters() if p.grad is None or (p.grad == 0).all()]


def test_bfloat16_autocast_stays_near_single_precision():
    encoder = perturb(make_encoder())
    x = torch.randn(4, 12, 3)
    exact = encoder(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(x)
    rough.float().square().sum().backward()
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1)
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden_channels": 18}, "multiple of 'heads' = 4"),
        ({"hidden_channels": 4}, "at least twice"),
        ({"slstm_at": (2,)}, r"'slstm_at' as positions from 0 to 1 \(got \[2\]\)"),
        ({"num_blocks": 0}, "1 or more"),
    ],
)
def test_sizes_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        make_encoder(**options)
