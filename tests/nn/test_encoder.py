"""The shared encoder against the xlstm package and its own promises."""

import copy
import pickle

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch._dynamo.utils import counters
from xlstm import (
    FeedForwardConfig,
    mLSTMBlockConfig,
    mLSTMLayerConfig,
    sLSTMBlockConfig,
    sLSTMLayerConfig,
    xLSTMBlockStack,
    xLSTMBlockStackConfig,
)

from benchmarks.plan import LiveTensors
from socialgraph.nn import XLSTMEncoder, map_state
from socialgraph.nn import encoder as encoder_module


def make_encoder(**options):
    return XLSTMEncoder(3, **{"hidden_channels": 16, "num_blocks": 2, "slstm_at": (1,), **options})


def perturb(module):
    """Move every weight off its initial value; the recurrent weights start at zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def make_package(encoder, context_length):
    """The package's stack with the same weights, as its authors use it."""
    heads = encoder.start(1)[0].top.size(1)
    blocks = [hasattr(block.xlstm, "slstm_cell") for block in encoder.stack.blocks]
    stack = xLSTMBlockStack(
        xLSTMBlockStackConfig(
            mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=heads)),
            slstm_block=sLSTMBlockConfig(
                slstm=sLSTMLayerConfig(backend="vanilla", num_heads=heads),
                feedforward=FeedForwardConfig(proj_factor=1.3, act_fn="gelu"),
            ),
            context_length=context_length,
            num_blocks=len(blocks),
            embedding_dim=encoder.out_channels,
            slstm_at=[number for number, slstm in enumerate(blocks) if slstm],
        )
    )
    stack.to(encoder.project.weight.dtype)
    stack.load_state_dict(encoder.stack.state_dict())
    return stack


def gradients(output, direction, parameters):
    return torch.autograd.grad(  # one step never uses the recurrent weights
        (output * direction).sum(), parameters, allow_unused=True, materialize_grads=True
    )


def check_against_package(encoder, steps, rows, rtol, atol):
    """Compare outputs and the gradients of all weights and inputs with those of the package."""
    package = make_package(encoder, context_length=steps)
    x = torch.randn(rows, steps, 3, dtype=encoder.project.weight.dtype, requires_grad=True)
    state, expected = encoder(x), package(encoder.project(x))[:, -1]
    torch.testing.assert_close(state, expected, rtol=rtol, atol=atol)
    direction = torch.randn_like(state)
    ours = gradients(state, direction, [x, *encoder.stack.parameters()])
    theirs = gradients(expected, direction, [x, *package.parameters()])
    for mine, truth in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, truth, rtol=rtol, atol=atol * max(1, truth.abs().max()))


@pytest.mark.parametrize(  # each kind first, and last
    ("slstm_at", "steps"), [((), 5), ((0,), 5), ((1,), 5), ((0, 1), 5), ((0,), 1)]
)
def test_equals_the_package_in_value_and_gradient(slstm_at, steps):
    encoder = perturb(make_encoder(slstm_at=slstm_at).double())
    check_against_package(encoder, steps, rows=5, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    width=st.sampled_from([8, 16, 24, 32, 64]),
    heads=st.sampled_from([1, 2, 4]),
    kinds=st.lists(st.booleans(), min_size=1, max_size=4),
    steps=st.integers(1, 30),
    rows=st.integers(1, 9),
    moved=st.booleans(),
    double=st.booleans(),
)
def test_equals_the_package_for_random_sizes_and_weights(
    width, heads, kinds, steps, rows, moved, double
):
    # A norm over a few numbers turns rounding into signs: there only double precision tells.
    assume(double or width // heads >= 8)
    torch.manual_seed(0)
    encoder = make_encoder(
        hidden_channels=width,
        heads=heads,
        num_blocks=len(kinds),
        slstm_at=[number for number, slstm in enumerate(kinds) if slstm],
    )
    encoder = perturb(encoder) if moved else encoder
    if double:
        check_against_package(encoder.double(), steps, rows, rtol=1e-11, atol=1e-11)
    else:
        check_in_single_precision(encoder, steps, rows)


def check_in_single_precision(encoder, steps, rows):
    """Within 1e-5 of the exact numbers, or as near to them as the package in the same precision."""
    exact = copy.deepcopy(encoder).double()
    package = make_package(encoder, context_length=steps)
    x, direction = torch.randn(rows, steps, 3), torch.randn(rows, encoder.out_channels)
    results = []
    for stack, run in (
        (exact.stack, exact),
        (encoder.stack, encoder),
        (package, lambda x: package(encoder.project(x))[:, -1]),
    ):
        own = x.to(exact.project.weight.dtype if stack is exact.stack else x.dtype)
        out = run(own.requires_grad_())
        results.append([out, *gradients(out, direction.to(out.dtype), list(stack.parameters()))])
    largest = max(truth.abs().max() for truth in results[0][1:])  # of all gradients
    for number, (truth, ours, theirs) in enumerate(zip(*results, strict=True)):
        scale = largest if number else truth.abs().max()
        error, package_error = ((part - truth).abs().max() for part in (ours, theirs))
        assert error <= 1e-5 * scale or error <= 4 * package_error


@pytest.mark.parametrize("slstm_at", [(), (0, 1)])
def test_gradients_are_those_of_differences(slstm_at):
    encoder = perturb(make_encoder(hidden_channels=8, heads=2, slstm_at=slstm_at).double())
    weights = dict(encoder.named_parameters())

    def run(x, *own):
        named = dict(zip(weights, own, strict=True))
        return torch.func.functional_call(encoder, named, (x,))

    x = torch.randn(2, 4, 3, dtype=torch.double, requires_grad=True)
    inputs = (x, *(weight.detach().clone().requires_grad_() for weight in weights.values()))
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


def test_long_sequences_are_read_in_chunks_with_the_same_numbers():
    for steps in [64, 65, 130]:
        encoder = perturb(make_encoder(slstm_at=(1,), num_blocks=3).double())
        check_against_package(encoder, steps, rows=2, rtol=1e-9, atol=1e-11)


def test_memory_grows_with_the_length_and_not_with_its_square():
    encoder = make_encoder(slstm_at=())
    peaks = []
    for steps in (512, 2048):
        x = torch.randn(2, steps, 3)
        with LiveTensors() as tensors:
            encoder(x).sum().backward()
        peaks.append(tensors.peak)
    assert peaks[1] < 4.4 * peaks[0]


def test_the_package_can_be_chosen_and_has_no_states():
    fused, package = make_encoder(), make_encoder(backend="package")
    package.load_state_dict(fused.state_dict())
    x = torch.randn(4, 12, 3)
    torch.testing.assert_close(package(x), fused(x))
    with pytest.raises(ValueError, match="backend='fused' and patch=1 to go on from a state"):
        package(x, fused.start(4))


@pytest.mark.parametrize("backend", ["fused", "package"])
def test_patches_are_steps_read_at_once_and_the_state_is_mapped(backend):
    encoder = make_encoder(patch=3, out_channels=5, backend=backend)
    plain = XLSTMEncoder(9, 16, num_blocks=2, heads=4, backend=backend)
    weights = encoder.state_dict()
    mapped = {name: weights.pop(f"map_out.{name}") for name in ("weight", "bias")}
    plain.load_state_dict(weights)
    x = torch.randn(4, 7, 3)
    patches = torch.cat([torch.zeros(4, 2, 3), x], dim=1).reshape(4, 3, 9)
    expected = plain(patches) @ mapped["weight"].T + mapped["bias"]
    torch.testing.assert_close(encoder(x), expected)
    assert encoder.out_channels == 5
    with pytest.raises(ValueError, match="patch=1 to go on from a state"):
        encoder(x, encoder.start(4))
    for wrong in ({"patch": 0}, {"out_channels": 0}):
        with pytest.raises(ValueError, match="'patch' and 'out_channels' of 1 or more"):
            make_encoder(**wrong)


@pytest.mark.slow
def test_shapes_that_are_too_many_for_the_compiler_are_evaluated_without_it():
    torch.compiler.reset()
    with torch._dynamo.config.patch(cache_size_limit=1), torch.no_grad():
        for blocks in (1, 2):
            sizes = {"hidden_channels": 8, "heads": 2, "num_blocks": blocks, "slstm_at": ()}
            plain, compiled = (make_encoder(**sizes, compile=c) for c in (False, True))
            compiled.load_state_dict(plain.state_dict())
            x = torch.randn(3, 2, 3)
            torch.testing.assert_close(compiled(x), plain(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_compiled_blocks_give_the_same_values_and_gradients():
    plain, compiled = (make_encoder(hidden_channels=8, heads=2, compile=c) for c in (False, True))
    perturb(plain)
    compiled.load_state_dict(plain.state_dict())
    x = torch.randn(6, 3, 3)
    torch.compiler.reset()
    counters.clear()
    outs = [encoder(x) for encoder in (plain, compiled)]
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-5)
    for out in outs:
        out.square().sum().backward()
    for ours, theirs in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)
    copy.deepcopy(compiled).load_state_dict(plain.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("slstm_at", [(0,), (1,)])  # a last block is evaluated in its own way
def test_exports_whole(slstm_at):
    encoder = perturb(make_encoder(slstm_at=slstm_at)).eval()
    rows = torch.export.Dim("rows", min=2)
    program = torch.export.export(encoder, (torch.randn(4, 3, 3),), dynamic_shapes={"x": {0: rows}})
    x = torch.randn(9, 3, 3)
    torch.testing.assert_close(program.module()(x), encoder(x))


# Each kind of block first, in between and last.
every_stack = pytest.mark.parametrize("slstm_at", [(1,), (0, 2)])


@pytest.mark.parametrize(
    ("slstm_at", "pieces"), [((1,), (1, 1, 1, 9)), ((0, 2), (1, 1, 1, 9)), ((1,), (70, 3))]
)
def test_a_history_in_pieces_is_the_history_whole(slstm_at, pieces):
    encoder = perturb(make_encoder(num_blocks=3, slstm_at=slstm_at).double())
    x = torch.randn(3, sum(pieces), 3, dtype=torch.double)
    whole = encoder(x)
    state = encoder.start(3)
    for piece in x.split(pieces, dim=1):
        embedding, state = encoder(piece, state)
    torch.testing.assert_close(embedding, whole, rtol=1e-9, atol=1e-10)
    direction = torch.randn_like(whole)
    for mine, truth in zip(
        gradients(embedding, direction, list(encoder.parameters())),
        gradients(whole, direction, list(encoder.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(mine, truth, rtol=1e-7, atol=1e-9)


@every_stack
def test_step_by_step_is_the_history_whole(slstm_at):
    encoder = perturb(make_encoder(num_blocks=3, slstm_at=slstm_at))
    x = torch.randn(3, 20, 3)
    state = encoder.start(3)
    with torch.no_grad():
        for moment in x.unbind(1):
            embedding, state = encoder.step(moment, state)
        torch.testing.assert_close(embedding, encoder(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("slstm_at", "rows"), [((1,), 3), ((0, 2), 21)])  # at once, in chunks
def test_states_are_written_into_memory_that_is_held(slstm_at, rows):
    encoder = perturb(make_encoder(num_blocks=3, slstm_at=slstm_at, chunk_steps=64))
    x = torch.randn(rows, 4, 3)
    with torch.no_grad():
        anew = at_itself = encoder.start(rows)
        state, spare = encoder.start(rows), encoder.start(rows)
        for moment in x.unbind(1):
            truth, anew = encoder.step(moment, anew)
            embedding, after = encoder.step(moment, state, out=spare)
            assert after is spare
            torch.testing.assert_close(embedding, truth, rtol=0, atol=0)
            state, spare = after, state
            own, at_itself = encoder.step(moment, at_itself, out=at_itself)
            torch.testing.assert_close(own, truth, rtol=0, atol=0)
        torch.testing.assert_close(state, anew, rtol=0, atol=0)
        torch.testing.assert_close(truth, encoder(x), rtol=1e-5, atol=1e-5)


@every_stack
def test_rows_of_a_state_come_go_and_are_cut_from_the_gradient(slstm_at):
    encoder = perturb(make_encoder(num_blocks=3, slstm_at=slstm_at).double())
    x = torch.randn(5, 8, 3, dtype=torch.double)
    _, state = encoder(x[:, :6], encoder.start(5))
    rows = torch.tensor([3, 0])
    some, _ = encoder(x[rows, 6:], map_state(lambda t: t[rows], state))
    torch.testing.assert_close(some, encoder(x)[rows])
    own = x[:, 6:].clone().requires_grad_()
    cut, _ = encoder(own, map_state(torch.Tensor.detach, state))
    cut.sum().backward()  # nothing before the cut is needed
    torch.testing.assert_close(cut, encoder(x))


@every_stack
def test_chunks_of_rows_bound_the_memory_and_change_no_number(slstm_at):
    whole = perturb(make_encoder(num_blocks=3, slstm_at=slstm_at, chunk_steps=None))
    parts = make_encoder(num_blocks=3, slstm_at=slstm_at, chunk_steps=50)
    parts.load_state_dict(whole.state_dict())
    x = torch.randn(23, 12, 3)
    with torch.no_grad():
        torch.testing.assert_close(parts(x), whole(x), rtol=1e-5, atol=1e-6)
        states = [encoder(x, encoder.start(23)) for encoder in (parts, whole)]
        torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)
        peaks = []
        for encoder in (parts, whole):
            with LiveTensors() as tensors:
                encoder(x)
            peaks.append(tensors.peak)
    assert peaks[0] < peaks[1] / 3


@pytest.mark.parametrize("slstm_at", [(), (0, 1)])
def test_reads_sequences_of_any_length_and_its_states_see_no_future(slstm_at):
    encoder = perturb(make_encoder(slstm_at=slstm_at).double())
    x = torch.randn(2, 100, 3, dtype=torch.double)
    hidden = encoder.project(x)
    for block in encoder.stack.blocks:
        hidden = block(hidden)  # the package's own forward
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


@pytest.mark.parametrize(("training", "again"), [(True, 2), (False, 0)])
def test_gradient_checkpointing_evaluates_every_block_again_in_the_backward_pass(
    training, again, monkeypatch
):
    calls = []
    for name in ("mlstm_block", "slstm_block"):
        evaluate = getattr(encoder_module, name)

        def count(*args, evaluate=evaluate):
            calls.append(args[0])
            return evaluate(*args)

        monkeypatch.setattr(encoder_module, name, count)
    encoder = make_encoder(gradient_checkpointing=True).train(training)
    out = encoder(torch.randn(4, 12, 3))
    assert calls == list(encoder.stack.blocks)
    out.sum().backward()
    assert len(calls) == 2 + again


@pytest.mark.parametrize("slstm_at", [(), (0,)])
def test_dropout_is_drawn_anew_in_training_alone(slstm_at):
    encoder = make_encoder(slstm_at=slstm_at, num_blocks=1, dropout=0.5)
    shares = {part.p for part in encoder.modules() if isinstance(part, torch.nn.Dropout)}
    assert shares == {0.5}  # feed-forward parts too
    x = torch.randn(4, 6, 3)
    assert not torch.allclose(encoder(x), encoder(x))
    encoder.eval()
    torch.testing.assert_close(encoder(x), encoder(x), rtol=0, atol=0)


def test_every_weight_is_trained():
    encoder = perturb(make_encoder())
    encoder(torch.randn(4, 12, 3)).square().sum().backward()
    assert not [n for n, p in encoder.named_parameters() if p.grad is None or (p.grad == 0).all()]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_autocast_stays_near_single_precision(dtype, bound):
    encoder = perturb(make_encoder())  # a block of each kind
    x = torch.randn(4, 12, 3)
    exact = encoder(x)
    with torch.autocast("cpu", dtype):
        rough = encoder(x)
        _, state = encoder(x[:, :7], encoder.start(4))
        pieces, _ = encoder(x[:, 7:], state)
    rough.float().square().sum().backward()
    torch.testing.assert_close(rough.float(), exact, rtol=bound, atol=bound)
    torch.testing.assert_close(pieces.float(), exact, rtol=bound, atol=bound)
    for weight in encoder.parameters():
        assert weight.grad is None or weight.grad.isfinite().all()


def test_sizes_out_of_range_are_refused():
    for options, words in [
        ({"hidden_channels": 18}, "multiple of 'heads' = 4"),
        ({"hidden_channels": 4}, "at least twice"),
        ({"slstm_at": (2,)}, r"'slstm_at' as positions from 0 to 1 \(got \[2\]\)"),
        ({"num_blocks": 0}, "1 or more"),
        ({"backend": "cuda"}, r"'backend' as 'fused' or 'package' \(got 'cuda'\)"),
        ({"chunk_steps": 0}, "'chunk_steps' of 1 or more"),
        ({"hidden_channels": 12, "heads": 6}, "inner width 64 .* multiples of four .got 6"),
    ]:
        with pytest.raises(ValueError, match=words):
            make_encoder(**options)


def test_an_encoder_is_pickled_with_its_weights():
    encoder = perturb(make_encoder())
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(pickle.loads(pickle.dumps(encoder))(x), encoder(x))


def test_inputs_and_states_that_do_not_fit_are_refused():
    encoder = make_encoder(chunk_steps=6)
    for shape in ((0, 5, 3), (2, 0, 3), (5, 3)):
        with pytest.raises(ValueError, match=r"'x' of shape \[rows, steps, channels\]"):
            encoder(torch.zeros(shape))
    with torch.no_grad(), pytest.raises(ValueError, match=r"state of 4 rows.*got 8"):
        encoder(torch.randn(4, 3, 3), encoder.start(8))
    state = encoder.start(4)
    with (
        torch.no_grad(),
        pytest.raises(
            ValueError, match=r"'out' like 'state'.*\[4, 4, 16, 16\].*got.*\[2, 4, 16, 16\]"
        ),
    ):
        encoder(torch.randn(4, 3, 3), state, out=encoder.start(2))
    with torch.no_grad(), pytest.raises(ValueError, match="'out' with a state"):
        encoder(torch.randn(4, 3, 3), out=state)
    with pytest.raises(ValueError, match="where no gradient is wanted"):
        encoder(torch.randn(4, 3, 3), state, out=encoder.start(4))
