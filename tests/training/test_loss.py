"""The masked loss."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from chexpert.training.module import masked_loss


def test_masked_labels_do_not_count() -> None:
    """The loss is the mean over what counts; what is masked has neither value nor gradient."""
    logits = torch.randn(4, 14, requires_grad=True)
    targets, weights = torch.rand(4, 14), torch.zeros(4, 14)
    weights[:, :3] = 1.0
    loss = masked_loss(logits, targets, weights)
    torch.testing.assert_close(loss, binary_cross_entropy_with_logits(logits[:, :3], targets[:, :3]))
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[:, 3:].any()
    assert logits.grad[:, :3].all()


def test_nothing_but_masks_is_zero() -> None:
    """A batch without any label that counts neither fails nor moves a weight."""
    logits = torch.randn(2, 14, requires_grad=True)
    loss = masked_loss(logits, torch.zeros(2, 14), torch.zeros(2, 14))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()
