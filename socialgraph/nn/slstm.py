"""The recurrence of an sLSTM without branches on data and without writes in place."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SLSTMCell"]


class SLSTMCell(nn.Module):
    r"""States of an sLSTM over a sequence, from a zero state.

    .. math::
        (\tilde i, \tilde f, \tilde z, \tilde o)_t &= \mathbf{x}_t + \mathbf{R} \mathbf{h}_{t-1} +
        \mathbf{b}, \qquad m_t = \max(\tilde i_t, \log \sigma(\tilde f_t) + m_{t-1}) \\
        c_t &= e^{\log \sigma(\tilde f_t) + m_{t-1} - m_t} c_{t-1} + e^{\tilde i_t - m_t}
        \tanh \tilde z_t, \qquad
        n_t = e^{\log \sigma(\tilde f_t) + m_{t-1} - m_t} n_{t-1} + e^{\tilde i_t - m_t} \\
        h_t &= \sigma(\tilde o_t) \, c_t / n_t

    after Beck et al., `xLSTM: Extended Long Short-Term Memory <https://arxiv.org/abs/2405.04517>`_,
    with the parameters, their names and the layout of the PyTorch cell of the xlstm package, whose
    place it takes. That cell asks at every step whether the state is still zero and writes every
    step into a prepared tensor; neither can be evaluated under :func:`torch.func.vmap`. Here the
    first step has its closed form :math:`m_1 = \tilde i_1, n_1 = 1`; after it :math:`n \ge 1`.

    Args:
        recurrent_kernel: :math:`\mathbf{R}` per head :math:`(H, 4 D, D)`.
        bias: :math:`\mathbf{b}`, gate by gate :math:`(4 H D)`.

    Shapes:
        - **x:** input part of the gates, gate by gate :math:`(R, T, 4 H D)`
        - **output:** hidden states :math:`(R, H, T, D)`, and None for the package's last state
    """

    def __init__(self, recurrent_kernel: nn.Parameter, bias: nn.Parameter) -> None:
        super().__init__()
        self._recurrent_kernel_ = recurrent_kernel
        self._bias_ = bias

    def forward(self, x: Tensor, state: None = None) -> tuple[Tensor, None]:
        heads, _, width = self._recurrent_kernel_.shape
        kernel = self._recurrent_kernel_.transpose(1, 2)  # [H, D, 4 * D]
        gates = (x + self._bias_).unflatten(-1, (4, heads, width))  # [R, T, 4, H, D]
        gates = gates.permute(1, 3, 0, 2, 4).flatten(-2)  # [T, H, R, 4 * D]
        hidden, cell, norm, top = [], None, None, None
        for inputs in gates.unbind():
            if hidden:
                inputs = inputs + torch.bmm(hidden[-1], kernel)
            i, f, z, o = inputs.unflatten(-1, (4, width)).unbind(-2)  # [H, R, D]
            if hidden:
                kept = top + F.logsigmoid(f)
                top = torch.maximum(i, kept)
                admit, keep = torch.exp(i - top), torch.exp(kept - top)
                cell = keep * cell + admit * torch.tanh(z)
                norm = keep * norm + admit
            else:
                top, cell, norm = i, torch.tanh(z), torch.ones_like(z)
            hidden.append(torch.sigmoid(o) * cell / norm)
        return torch.stack(hidden).permute(2, 1, 0, 3).to(x.dtype), None  # [R, H, T, D]
